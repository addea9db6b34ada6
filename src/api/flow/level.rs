//! One priority level: requests come in, wait their turn, run, and give their seats back.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    queues::{Queues, Shape, Verdict},
    shares::Terms,
};

/// Why a request is refused; upstream's names, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    QueueFull,
    ConcurrencyLimit,
    TimeOut,
}

/// What a level is configured to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) exempt: bool,
    pub(super) terms: Terms,
    pub(super) shape: Shape,
}

impl Plan {
    /// A PriorityLevelConfiguration as stored.
    pub(super) fn read(object: &Value) -> Self {
        let (meta, spec) = (&object["metadata"], &object["spec"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let exempt = spec["type"] == "Exempt";
        let own = if exempt { &spec["exempt"] } else { &spec["limited"] };
        let queuing = &own["limitResponse"]["queuing"];
        let size = |name: &str| number(&queuing[name]).unwrap_or(0) as usize;
        Self {
            name: text(&meta["name"]),
            uid: text(&meta["uid"]),
            exempt,
            terms: Terms {
                shares: number(&own["nominalConcurrencyShares"]).unwrap_or(0),
                lendable_percent: number(&own["lendablePercent"]).unwrap_or(0),
                borrowing_percent: number(&own["borrowingLimitPercent"]),
            },
            shape: Shape {
                queues: size("queues"),
                hand: size("handSize"),
                length: size("queueLengthLimit"),
            },
        }
    }
}

/// Counters of a level.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) dispatched: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) concurrency_limit: AtomicU64,
    pub(super) time_out: AtomicU64,
    pub(super) waited_micros: AtomicU64,
}

/// A priority level at work.
pub(super) struct Level {
    state: Mutex<State>,
    pub(super) counts: Counts,
    next_id: AtomicU64,
}

struct State {
    plan: Plan,
    queues: Queues,
    /// By id; as many as wait in `queues`.
    waiting: HashMap<u64, oneshot::Sender<Seat>>,
}

/// What a level shows of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) limit: u32,
    pub(super) taken: u32,
    pub(super) running: usize,
    pub(super) waiting: usize,
}

/// The seats of a request that runs; given back when dropped.
pub(crate) struct Seat {
    level: Arc<Level>,
    queue: usize,
    seats: u32,
    since: Instant,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.level.clone().finish(self.queue, self.seats, seconds);
    }
}

/// A request that stops waiting, also because its client is gone.
struct Waiter<'a> {
    level: &'a Level,
    queue: usize,
    id: u64,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.level.state.lock();
        if state.waiting.remove(&self.id).is_some() {
            state.queues.leave(self.queue, self.id);
        }
    }
}

impl Level {
    pub(super) fn new(plan: Plan, limit: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                queues: Queues::new(plan.shape, limit),
                waiting: HashMap::new(),
                plan,
            }),
            counts: Counts::default(),
            next_id: AtomicU64::new(0),
        })
    }

    /// Goes on with another configuration.
    pub(super) fn change(self: &Arc<Self>, plan: Plan, limit: u32) {
        let mut state = self.state.lock();
        state.queues.reshape(plan.shape);
        state.plan = plan;
        drop(state);
        self.set_limit(limit);
    }

    /// Goes on with more or fewer seats.
    pub(super) fn set_limit(self: &Arc<Self>, limit: u32) {
        self.state.lock().queues.limit = limit;
        self.dispatch();
    }

    pub(super) fn load(&self) -> Load {
        let state = self.state.lock();
        let q = &state.queues;
        Load { limit: q.limit, taken: q.taken, running: q.running, waiting: q.waiting }
    }

    /// Most seats asked for at one time since the last call.
    pub(super) fn take_peak(&self) -> u32 {
        self.state.lock().queues.take_peak()
    }

    /// Waits for seats, at most so long.
    pub(super) async fn enter(
        self: &Arc<Self>,
        seats: u32,
        flow: u64,
        patience: Duration,
    ) -> Result<Seat, Refusal> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let since = Instant::now();
        let (queue, turn) = {
            let mut state = self.state.lock();
            match state.queues.arrive(id, seats, flow) {
                Verdict::Run(queue) => {
                    self.counts.dispatched.fetch_add(1, Ordering::Relaxed);
                    return Ok(Seat { level: Arc::clone(self), queue, seats, since });
                }
                Verdict::Full if state.plan.shape.queues == 0 => {
                    self.counts.concurrency_limit.fetch_add(1, Ordering::Relaxed);
                    return Err(Refusal::ConcurrencyLimit);
                }
                Verdict::Full => {
                    self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
                    return Err(Refusal::QueueFull);
                }
                Verdict::Wait(queue) => {
                    let (tell, turn) = oneshot::channel();
                    state.waiting.insert(id, tell);
                    (queue, turn)
                }
            }
        };
        let _waiter = Waiter { level: self, queue, id };
        // A limit that was raised meanwhile told nobody of this request.
        self.dispatch();
        match tokio::time::timeout(patience, turn).await {
            Ok(Ok(seat)) => {
                let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.counts.waited_micros.fetch_add(waited, Ordering::Relaxed);
                Ok(seat)
            }
            _ => {
                self.counts.time_out.fetch_add(1, Ordering::Relaxed);
                Err(Refusal::TimeOut)
            }
        }
    }

    fn finish(self: &Arc<Self>, queue: usize, seats: u32, seconds: f64) {
        self.state.lock().queues.finish(queue, seats, seconds);
        self.dispatch();
    }

    /// Gives free seats to who is next.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            let Some((queue, next)) = state.queues.next() else { return };
            let told = state.waiting.remove(&next.id);
            drop(state);
            self.counts.dispatched.fetch_add(1, Ordering::Relaxed);
            let seat =
                Seat { level: Arc::clone(self), queue, seats: next.seats, since: Instant::now() };
            // Who is gone meanwhile gives its seats back at once, which dispatches again.
            drop(told.map(|told| told.send(seat)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(queues: usize, limit: u32) -> Arc<Level> {
        let shape = Shape { queues, hand: 1, length: 2 };
        let (name, uid) = ("l".to_owned(), String::new());
        Level::new(Plan { name, uid, exempt: false, terms: Terms::default(), shape }, limit)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_seats_and_give_them_back() {
        let level = level(1, 1);
        let first = level.enter(1, 0, LONG).await.ok().unwrap();
        let waiting = tokio::spawn({
            let level = Arc::clone(&level);
            async move { level.enter(1, 0, LONG).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert_eq!(level.load().waiting, 1);
        let impatient = level.enter(1, 0, Duration::from_millis(5)).await;
        assert_eq!(impatient.err(), Some(Refusal::TimeOut));
        drop(first);
        assert!(waiting.await.unwrap());
        let load = level.load();
        assert_eq!((load.taken, load.running, load.waiting), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_leaves_nothing() {
        let level = level(1, 1);
        let first = level.enter(1, 0, LONG).await.ok().unwrap();
        for _ in 0..2 {
            let (other, at) = (Arc::clone(&level), level.load().waiting);
            let waiting = tokio::spawn(async move { other.enter(1, 0, LONG).await.is_ok() });
            tokio::task::yield_now().await;
            assert_eq!(level.load().waiting, at + 1);
            if at == 0 {
                waiting.abort();
                let _ = waiting.await;
                assert_eq!(level.load().waiting, 0);
            }
        }
        drop(first);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!((level.load().taken, level.load().waiting), (0, 0));
        assert!(level.state.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn more_seats_are_used_at_once() {
        let level = level(1, 1);
        let _first = level.enter(1, 0, LONG).await.ok().unwrap();
        let waiting = tokio::spawn({
            let level = Arc::clone(&level);
            async move { level.enter(1, 0, LONG).await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        level.set_limit(2);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        level.set_limit(1);
        let refusing = super::tests::level(0, 1);
        let _one = refusing.enter(1, 0, LONG).await.ok().unwrap();
        assert_eq!(refusing.enter(1, 0, LONG).await.err(), Some(Refusal::ConcurrencyLimit));
    }
}
