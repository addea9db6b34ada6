//! The load: clients and watchers as Kubernetes has them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    cluster::Cluster,
    history::{NEVER, Outcome, Seen, Session, What},
    net::MEMBERS,
    process::Process,
    protocol::{Answer, Ask, Change},
    rng::Rng,
};

pub const TOPICS: [&str; 3] =
    ["/registry/core/pods/", "/registry/core/configmaps/", "/registry/coordination/leases/"];
/// Objects of each kind.
const OBJECTS: u64 = 12;
/// The prefix of all keys.
pub const ALL: &str = "/registry/";

/// How hard and with what to load.
#[derive(Debug, Clone)]
pub struct Mix {
    pub clients: usize,
    /// Longest pause between two operations of a client, in milliseconds.
    pub pause: u64,
    /// Compact at all.
    pub compact: bool,
    /// Of 100 watches of one kind so many begin long before.
    pub old: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { clients: 9, pause: 16, compact: true, old: 20 }
    }
}

/// A running load.
pub struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    watchers: Vec<JoinHandle<()>>,
    /// Watchers go on until they have seen this revision.
    target: Arc<AtomicU64>,
}

fn key(rng: &mut Rng) -> String {
    format!("{}ns/{}", TOPICS[rng.index(TOPICS.len())], rng.range(0..OBJECTS))
}

impl Load {
    pub fn start(cluster: &Arc<Cluster>, mix: &Mix, rng: &mut Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let target = Arc::new(AtomicU64::new(u64::MAX));
        let mut writers = Vec::new();
        for n in 0..mix.clients {
            let (cluster, stop, rng) = (cluster.clone(), stop.clone(), rng.fork());
            let client =
                Client { cluster, rng, home: n % MEMBERS, seen: Seen::new(), pause: mix.pause };
            writers.push(tokio::spawn(client.run(stop)));
        }
        if mix.compact {
            writers.push(tokio::spawn(compact(cluster.clone(), stop.clone(), rng.fork())));
        }
        let mut watchers = Vec::new();
        for (slot, topic) in TOPICS.iter().enumerate() {
            for prefix in [ALL, topic] {
                let (cluster, target) = (cluster.clone(), target.clone());
                let rng = rng.fork();
                let watcher = Watcher { cluster, prefix, home: slot, rng, target, old: mix.old };
                watchers.push(tokio::spawn(watcher.run()));
            }
        }
        Self { stop, writers, watchers, target }
    }

    /// Stop writing and wait until every answer is there.
    pub async fn stop_writing(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            writer.await.unwrap();
        }
    }

    /// Let every watcher see everything up to `revision`; the error tells which does not.
    pub async fn finish(mut self, revision: u64, patience: Duration) -> Result<(), String> {
        self.target.store(revision, Ordering::Relaxed);
        for (n, watcher) in self.watchers.drain(..).enumerate() {
            let abort = watcher.abort_handle();
            if tokio::time::timeout(patience, watcher).await.is_err() {
                abort.abort();
                return Err(format!("watcher {n} does not get to revision {revision}"));
            }
        }
        Ok(())
    }
}

struct Client {
    cluster: Arc<Cluster>,
    rng: Rng,
    home: usize,
    seen: Seen,
    pause: u64,
}

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(self.rng.range(0..self.pause + 1))).await;
            if self.rng.percent(2) {
                self.home = self.rng.index(MEMBERS);
            }
            let Some(member) = self.cluster.member(self.home) else {
                self.home = self.rng.index(MEMBERS);
                continue;
            };
            match self.rng.range(0..100) {
                0..55 => self.write(&member).await,
                55..60 => self.pair(&member).await,
                60..78 => self.get(&member).await,
                78..92 => self.list(&member, true).await,
                92..96 => self.list(&member, false).await,
                _ => self.list_at(&member).await,
            }
        }
    }

    fn change(&mut self) -> Change {
        let key = key(&mut self.rng);
        let expect = self.seen.get(&key).copied().unwrap_or(0);
        let number = self.cluster.history.number();
        let (expect, value) = match self.rng.range(0..100) {
            // Update 90, create 5, delete 5; what does not exist is created.
            0..5 => (0, Some(number)),
            5..10 if expect > 0 => (expect, None),
            _ => (expect, Some(number)),
        };
        Change { key, expect, value }
    }

    async fn write(&mut self, member: &Process) {
        let change = self.change();
        self.submit(member, vec![change]).await;
    }

    /// Two objects in one transaction.
    async fn pair(&mut self, member: &Process) {
        let (one, two) = (self.change(), self.change());
        if one.key != two.key {
            self.submit(member, vec![one, two]).await;
        }
    }

    async fn submit(&mut self, member: &Process, changes: Vec<Change>) {
        let history = self.cluster.history.clone();
        let invoked = history.now();
        let answer = member.ask(&Ask::Write(changes.clone())).await;
        let returned = history.now();
        let outcome = match answer {
            Some(Answer::Committed(revisions)) => {
                for (change, revision) in changes.iter().zip(&revisions) {
                    let exists = change.value.is_some();
                    self.seen.insert(change.key.clone(), if exists { *revision } else { 0 });
                }
                Outcome::Committed(revisions)
            }
            Some(Answer::Conflict { key, current }) => {
                self.seen.insert(key.clone(), current);
                Outcome::Conflict { key, current }
            }
            Some(Answer::NotDone(_)) => Outcome::NotDone,
            Some(Answer::Unknown(_)) | None => Outcome::Unknown,
            Some(other) => panic!("{other:?} answers a write"),
        };
        let returned = if outcome == Outcome::Unknown { NEVER } else { returned };
        history.record(invoked, returned, What::Write { changes, outcome });
    }

    async fn get(&mut self, member: &Process) {
        let key = key(&mut self.rng);
        let history = self.cluster.history.clone();
        let invoked = history.now();
        if let Some(Answer::Got { barrier, rec }) = member.ask(&Ask::Get(key.clone())).await {
            self.seen.insert(key.clone(), rec.as_ref().map_or(0, |r| r.revision));
            history.record(invoked, history.now(), What::Get { key, barrier, rec });
        }
    }

    async fn list(&mut self, member: &Process, fresh: bool) {
        let prefix = TOPICS[self.rng.index(TOPICS.len())].to_owned();
        let history = self.cluster.history.clone();
        let invoked = history.now();
        let ask = Ask::List { prefix: prefix.clone(), barrier: fresh };
        if let Some(Answer::Listed { revision, records }) = member.ask(&ask).await {
            if fresh {
                self.seen.retain(|key, _| !key.starts_with(&prefix));
                self.seen.extend(records.iter().map(|r| (r.key.clone(), r.revision)));
            }
            let what = What::List { prefix, revision, records, fresh };
            history.record(invoked, history.now(), what);
        }
    }

    async fn list_at(&mut self, member: &Process) {
        let prefix = TOPICS[self.rng.index(TOPICS.len())].to_owned();
        let history = self.cluster.history.clone();
        let revision = history.truth().known.saturating_sub(self.rng.range(0..400)).max(1);
        let invoked = history.now();
        match member.ask(&Ask::ListAt { prefix: prefix.clone(), revision }).await {
            Some(Answer::Listed { revision, records }) => {
                let what = What::List { prefix, revision, records, fresh: false };
                history.record(invoked, history.now(), what);
            }
            Some(Answer::Compacted { requested, compacted }) => {
                check_compacted(&self.cluster, requested, compacted);
            }
            _ => {}
        }
    }
}

/// "Compacted" must be true: something was compacted up to there, and the revision is before it.
fn check_compacted(cluster: &Cluster, requested: u64, compacted: u64) {
    let asked = cluster.history.compacted.load(Ordering::SeqCst);
    if requested >= compacted || compacted > asked {
        cluster.history.violation(format!(
            "{requested} is said to be compacted (at {compacted}), asked for was {asked}"
        ));
    }
}

async fn compact(cluster: Arc<Cluster>, stop: Arc<AtomicBool>, mut rng: Rng) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(rng.range(300..1500))).await;
        // Only what is known is compacted, so that the harness knows everything in the end.
        let known = cluster.history.truth().known;
        let revision = known.saturating_sub(rng.range(20..600));
        let Some(member) = cluster.member(rng.index(MEMBERS)) else { continue };
        if revision > cluster.history.compacted.fetch_max(revision, Ordering::SeqCst) {
            member.ask(&Ask::Compact(revision)).await;
        }
    }
}

struct Watcher {
    cluster: Arc<Cluster>,
    prefix: &'static str,
    home: usize,
    rng: Rng,
    target: Arc<AtomicU64>,
    old: u64,
}

impl Watcher {
    async fn run(mut self) {
        let mut after = 1;
        loop {
            let target = self.target.load(Ordering::Relaxed);
            if after >= target {
                return;
            }
            let Some(member) = self.cluster.member(self.home) else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.home = self.rng.index(MEMBERS);
                continue;
            };
            // Some begin long before, to need the disk or to hear that it is compacted.
            let old = target == u64::MAX && self.prefix != ALL && self.rng.percent(self.old);
            let from = if old { after - self.rng.range(0..after.min(800)) } else { after };
            let patience = match self.prefix {
                ALL => self.rng.range(2_000..6_000),
                _ => self.rng.range(50..1_500),
            };
            let session = self.session(&member, from, Duration::from_millis(patience)).await;
            after = match session.compacted {
                Some(compacted) => after.max(compacted),
                None => after.max(session.last()),
            };
            self.cluster.history.sessions.lock().unwrap().push(session);
            if self.rng.percent(30) {
                self.home = self.rng.index(MEMBERS);
            }
        }
    }

    /// Watch until the time is over, the member is gone or everything was seen.
    async fn session(&self, member: &Process, after: u64, patience: Duration) -> Session {
        let history = &self.cluster.history;
        let mut session = Session { prefix: self.prefix.to_owned(), after, ..Session::default() };
        let ask = Ask::Watch { prefix: self.prefix.to_owned(), after };
        let (request, mut answers) = member.stream(&ask);
        let until = tokio::time::Instant::now() + patience;
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.recv()).await {
            match answer {
                Answer::Events { events, progress } => {
                    let now = history.now();
                    for ev in events {
                        history.offer(&ev);
                        session.events.push((now, ev));
                    }
                    session.bookmarks.push((session.events.len(), progress));
                }
                Answer::Compacted { requested, compacted } => {
                    check_compacted(&self.cluster, requested, compacted);
                    session.compacted = Some(compacted);
                    break;
                }
                _ => break,
            }
            if session.last() >= self.target.load(Ordering::Relaxed) {
                break;
            }
        }
        member.unwatch(request);
        session
    }
}
