//! A way to the store that is late, forgetful and at times closed, for tests of what writes through
//! it. What lies behind is the real store.
//!
//! All doors of one test share a [`Line`]: writes reach the store one after the other in the order
//! they were sent, as they reach a Raft log, and a stall (no quorum) holds all of them. Time is
//! virtual: while the store works on a real disk the clock stands still.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kabuki_raft::{
    Compare, Event, Leadership, Op, Revision, Store, StoreError, Txn, TxnOutcome, Watch,
};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

/// How long a write waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a barrier waits for a quorum.
const BARRIER_PATIENCE: Duration = Duration::from_secs(3);

/// Chances of faults per thousand, and how bad they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Longest delay before and after a write, in milliseconds. Most are far shorter.
    pub late_ms: u64,
    /// Refused before anything was written.
    pub refused: u32,
    /// Written, and the answer lost.
    pub lost_answer: u32,
    /// The answer is not waited for: the write is under way and not there yet.
    pub impatient: u32,
    /// Longest time the log takes for one write, in milliseconds.
    pub slow_log_ms: u64,
    /// Somebody else writes the object first.
    pub rival: u32,
    /// A conflict without any reason.
    pub conflict: u32,
    /// The line stands still for some seconds.
    pub stall: u32,
    /// Changes are handed on this much later at most, in milliseconds.
    pub late_watch_ms: u64,
    /// A watch breaks, or its history is gone.
    pub broken_watch: u32,
}

impl Weather {
    /// All faults at once.
    pub const STORM: Self = Self {
        late_ms: 2_000,
        refused: 60,
        lost_answer: 40,
        impatient: 40,
        slow_log_ms: 400,
        rival: 60,
        conflict: 40,
        stall: 12,
        late_watch_ms: 2_000,
        broken_watch: 40,
    };
}

struct Job {
    txn: Txn,
    number: u64,
    reply: oneshot::Sender<Result<TxnOutcome, StoreError>>,
}

/// The one way into the log, and who leads.
pub(crate) struct Line {
    jobs: mpsc::UnboundedSender<Job>,
    closed_until: Mutex<Instant>,
    slow_ms: AtomicU64,
    /// Writes sent, and how many of them have arrived or been lost.
    sent: AtomicU64,
    passed: AtomicU64,
    /// Writes before this number that have not arrived never will.
    lost_before: AtomicU64,
    leadership: watch::Sender<Leadership>,
    rng: Mutex<StdRng>,
}

impl Line {
    /// Opens the way to `store`. Must be called on the test's runtime.
    pub fn open(store: &Store, seed: u64) -> Arc<Self> {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let first = Leadership { term: 1, leader: Some(1), is_local: true };
        let line = Arc::new(Self {
            jobs,
            closed_until: Mutex::new(Instant::now()),
            slow_ms: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            lost_before: AtomicU64::new(0),
            leadership: watch::Sender::new(first),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let (me, store) = (Arc::downgrade(&line), store.clone());
        tokio::spawn(async move {
            while let Some(job) = queue.recv().await {
                let Some(line) = me.upgrade() else { return };
                line.pass(&store, job).await;
            }
        });
        line
    }

    async fn pass(&self, store: &Store, job: Job) {
        loop {
            let until = *self.closed_until.lock();
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
        sleep(self.delay(self.slow_ms.load(Ordering::Relaxed))).await;
        let result = if job.number < self.lost_before.load(Ordering::Relaxed) {
            Err(StoreError::UnknownOutcome("another member leads".into()))
        } else {
            blocking(store, move |store| async move { store.write(job.txn).await }).await
        };
        self.passed.fetch_add(1, Ordering::Relaxed);
        // Nobody waits for the answer to a write that took too long.
        job.reply.send(result).ok();
    }

    /// Puts a write into the log, if this member leads in the term it is fenced with.
    fn send(
        &self,
        mut txn: Txn,
    ) -> Result<oneshot::Receiver<Result<TxnOutcome, StoreError>>, StoreError> {
        let Leadership { term, is_local, leader } = *self.leadership.borrow();
        if txn.fence.take().is_some_and(|fence| fence != term || !is_local) {
            return Err(StoreError::NotLeader { leader, term });
        }
        let (reply, answer) = oneshot::channel();
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        self.jobs.send(Job { txn, number, reply }).map_err(|_| StoreError::Closed)?;
        Ok(answer)
    }

    /// No quorum for a while.
    pub fn stall(&self, time: Duration) {
        let mut until = self.closed_until.lock();
        *until = (*until).max(Instant::now() + time);
    }

    /// Leadership is lost now and comes back in a later term. Of the writes in the log all are
    /// applied before that, or none.
    pub async fn depose(&self, away: Duration) {
        let sent = self.sent.load(Ordering::Relaxed);
        if self.chance(500) {
            self.lost_before.store(sent, Ordering::Relaxed);
        }
        let term = self.leadership.borrow().term;
        self.leadership.send_replace(Leadership {
            term: term + 1,
            leader: Some(2),
            is_local: false,
        });
        sleep(away).await;
        while self.passed.load(Ordering::Relaxed) < sent {
            sleep(Duration::from_millis(10)).await;
        }
        self.leadership.send_replace(Leadership {
            term: term + 2,
            leader: Some(1),
            is_local: true,
        });
    }

    fn chance(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.lock().random_range(0..1000) < per_mille
    }

    /// Mostly short, at times up to `longest_ms`.
    fn delay(&self, longest_ms: u64) -> Duration {
        if longest_ms == 0 {
            return Duration::ZERO;
        }
        let mut rng = self.rng.lock();
        let scale = [50, 20, 4, 1][rng.random_range(0..4)];
        Duration::from_micros(rng.random_range(0..=longest_ms * 1000 / scale))
    }
}

/// Runs a future of the store where virtual time waits for it.
async fn blocking<T, F>(store: &Store, work: impl FnOnce(Store) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let (runtime, store) = (tokio::runtime::Handle::current(), store.clone());
    let run = tokio::task::spawn_blocking(move || runtime.block_on(work(store)));
    run.await.unwrap_or_else(|e| panic!("the store: {e}"))
}

/// One user's way to the store.
pub(crate) struct Door {
    line: Arc<Line>,
    weather: Mutex<Weather>,
    /// Keys that contain this are refused, always.
    barred: Mutex<Option<String>>,
    /// A bug put back: questions about earlier writes are answered without asking.
    never_settle: AtomicBool,
    attempts: AtomicU64,
    /// Attempts at barred keys.
    barred_attempts: AtomicU64,
    /// Writes that were sent, without those of events.
    sent: Mutex<Vec<String>>,
    events: AtomicU64,
}

impl Door {
    /// A door without faults.
    pub fn new(line: &Arc<Line>) -> Arc<Self> {
        Arc::new(Self {
            line: Arc::clone(line),
            weather: Mutex::default(),
            barred: Mutex::default(),
            never_settle: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            barred_attempts: AtomicU64::new(0),
            sent: Mutex::default(),
            events: AtomicU64::new(0),
        })
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.line.slow_ms.store(weather.slow_log_ms, Ordering::Relaxed);
        *self.weather.lock() = weather;
    }

    /// Refuses all writes of keys that contain `part`.
    pub fn bar(&self, part: Option<&str>) {
        *self.barred.lock() = part.map(str::to_owned);
    }

    /// See the field.
    pub fn never_settle(&self, never: bool) {
        self.never_settle.store(never, Ordering::Relaxed);
    }

    /// Writes tried so far, questions whether writes are settled included.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Refused ones of [`Door::bar`].
    pub fn barred_attempts(&self) -> u64 {
        self.barred_attempts.load(Ordering::Relaxed)
    }

    /// Takes the keys written since the last call, but those of events and of questions.
    pub fn take_written(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock())
    }

    /// Takes the number of events written since the last call.
    pub fn take_events(&self) -> u64 {
        self.events.swap(0, Ordering::Relaxed)
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.line.leadership.subscribe()
    }

    pub async fn write(&self, store: &Store, txn: Txn) -> Result<TxnOutcome, StoreError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let (weather, line) = (*self.weather.lock(), &self.line);
        let settling = txn.compare.iter().any(|c| c.mod_revision == Revision::MAX);
        if settling && self.never_settle.load(Ordering::Relaxed) {
            return Ok(TxnOutcome::Conflict { key: String::new(), current: 0 });
        }
        if self.is_barred(&txn) {
            return Err(StoreError::Unavailable("barred".into()));
        }
        sleep(line.delay(weather.late_ms)).await;
        if line.chance(weather.stall) {
            let time = line.delay(12_000);
            line.stall(time);
        }
        if line.chance(weather.refused) {
            return Err(StoreError::Unavailable("refused".into()));
        }
        let known = txn.compare.iter().find(|c| c.mod_revision > 0).cloned();
        if let Some(known) = known.filter(|_| !settling) {
            if line.chance(weather.conflict) {
                let (key, current) = (known.key, known.mod_revision);
                return Ok(TxnOutcome::Conflict { key, current });
            }
            if line.chance(weather.rival) {
                self.rival(store, &known).await;
            }
        }
        if !settling {
            let keys = txn.ops.iter().map(|op| op.key().to_owned());
            let (events, keys): (Vec<_>, Vec<_>) = keys.partition(|key| key.contains("/events/"));
            self.events.fetch_add(events.len() as u64, Ordering::Relaxed);
            self.sent.lock().extend(keys);
        }
        let unknown = || StoreError::UnknownOutcome("no answer".into());
        let patience = if line.chance(weather.impatient) { Duration::ZERO } else { PATIENCE };
        let answer = timeout(patience, line.send(txn)?).await;
        let result = answer.map_err(|_| unknown())?.map_err(|_| unknown())?;
        if result.is_ok() && line.chance(weather.lost_answer) {
            return Err(unknown());
        }
        sleep(line.delay(weather.late_ms)).await;
        result
    }

    fn is_barred(&self, txn: &Txn) -> bool {
        let barred = self.barred.lock();
        let hit = barred
            .as_ref()
            .is_some_and(|part| txn.ops.iter().any(|op| op.key().contains(part.as_str())));
        self.barred_attempts.fetch_add(u64::from(hit), Ordering::Relaxed);
        hit
    }

    /// Somebody else changes the object: a label of no meaning.
    async fn rival(&self, store: &Store, known: &Compare) {
        let Some(record) = store.get(&known.key) else { return };
        let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&record.value) else {
            return;
        };
        if !value["metadata"].is_object() {
            return;
        }
        value["metadata"]["annotations"]["rival"] = record.mod_revision.to_string().into();
        let bytes = super::canonical::encode(&value, None);
        let txn = Txn {
            compare: vec![Compare { mod_revision: record.mod_revision, ..known.clone() }],
            ops: vec![Op::Put { key: known.key.clone(), value: bytes }],
            fence: None,
        };
        if let Ok(answer) = self.line.send(txn) {
            answer.await.ok();
        }
    }

    pub async fn barrier(&self, store: &Store) -> Result<Revision, StoreError> {
        let (weather, line) = (*self.weather.lock(), &self.line);
        sleep(line.delay(weather.late_ms)).await;
        let closed = *line.closed_until.lock();
        if closed > Instant::now() + BARRIER_PATIENCE {
            sleep(BARRIER_PATIENCE).await;
            return Err(StoreError::Unavailable("no quorum".into()));
        }
        sleep_until(closed).await;
        if line.chance(weather.refused) {
            return Err(StoreError::Unavailable("refused".into()));
        }
        blocking(store, |store| async move { store.read_barrier().await }).await
    }

    pub async fn next(&self, watch: &mut Watch) -> Result<Vec<Arc<Event>>, StoreError> {
        let events = watch.next().await?;
        let (weather, line) = (*self.weather.lock(), &self.line);
        sleep(line.delay(weather.late_watch_ms)).await;
        if line.chance(weather.broken_watch) {
            let requested = watch.progress();
            return Err(match line.chance(500) {
                true => StoreError::Compacted { requested, compacted: requested },
                false => StoreError::Storage("the watch broke".into()),
            });
        }
        Ok(events)
    }
}
