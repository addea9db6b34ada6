//! A member process: the real store, driven by lines on stdin.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use kabuki_raft::{
    Event, EventKind, Faults, Record, Store, StoreConfig, StoreError, Txn, TxnOutcome,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    common::{self, Pki},
    protocol::{
        Answer, Ask, Change, Dump, Ev, FAULTS, MEMBER, Rec, Role, START, value_bytes, value_number,
    },
};

/// How long a dump may wait for history.
const DUMP_TIMEOUT: Duration = Duration::from_secs(5);

fn say(request: u64, answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap();
    let mut out = std::io::stdout().lock();
    // The harness may be gone; then so is this process, in a moment.
    writeln!(out, "@{request} {line}").and_then(|()| out.flush()).ok();
}

/// The body of a member process; returns at once when this is none.
pub fn run() {
    let Ok(role) = std::env::var(MEMBER) else { return };
    common::logs();
    let role: Role = serde_json::from_str(&role).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(role));
    // What still runs must not keep the process.
    std::process::exit(0);
}

async fn serve(role: Role) {
    let faults = Faults::prepared();
    for (fault, value) in &role.settings.faults {
        faults.set(FAULTS[*fault], *value);
    }
    let mut cfg = StoreConfig::new(&role.dir, role.id, "faults");
    cfg.peer_addr = role.peer_addr.clone();
    cfg.peer_addr_overrides = role.overrides.clone();
    cfg.tls = Some(Pki::load(&role.pki).tls());
    cfg.limits.snapshot_entries = role.settings.snapshot_entries;
    cfg.limits.kept_entries = role.settings.kept_entries;
    cfg.limits.ring_events = role.settings.ring_events;
    cfg.faults = faults.clone();
    let store = match Store::open(cfg).await {
        Ok(store) => store,
        Err(error) => return say(START, &Answer::Refused(error.to_string())),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(START, &Answer::Started { port: listener.local_addr().unwrap().port() });
    let peers = store.clone();
    tokio::spawn(async move { peers.serve_peers(listener).await });
    let member = Arc::new(Member { store, faults, watches: Mutex::default() });
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // Ends, and the process with it, when the harness is gone.
        for line in std::io::stdin().lines().map_while(Result::ok) {
            sender.send(line).ok();
        }
    });
    while let Some(line) = lines.recv().await {
        let (request, ask) = line.split_once(' ').unwrap();
        let (request, ask) = (request.parse().unwrap(), serde_json::from_str(ask).unwrap());
        let member = member.clone();
        match ask {
            Ask::Watch { prefix, after } => member.watch(request, prefix, after),
            Ask::Unwatch(watch) => {
                if let Some(task) = member.watches.lock().unwrap().remove(&watch) {
                    task.abort();
                }
            }
            ask => {
                tokio::spawn(async move { say(request, &member.answer(ask).await) });
            }
        }
    }
}

struct Member {
    store: Store,
    faults: Faults,
    watches: Mutex<HashMap<u64, JoinHandle<()>>>,
}

fn rec(record: &Record) -> Rec {
    Rec {
        key: record.key.to_string(),
        value: value_number(&record.value),
        create: record.create_revision,
        revision: record.mod_revision,
    }
}

fn ev(event: &Arc<Event>) -> Ev {
    assert_eq!(event.revision, event.record.mod_revision);
    Ev {
        delete: event.kind == EventKind::Delete,
        rec: rec(&event.record),
        previous: event.previous.as_ref().map_or(0, |p| p.mod_revision),
    }
}

fn failed(error: StoreError) -> Answer {
    match error {
        StoreError::Compacted { requested, compacted } => {
            Answer::Compacted { requested, compacted }
        }
        error => Answer::Failed(error.to_string()),
    }
}

impl Member {
    async fn answer(&self, ask: Ask) -> Answer {
        let store = &self.store;
        let done = |result: Result<(), StoreError>| result.map_or_else(failed, |()| Answer::Done);
        match ask {
            Ask::Write(changes) => self.write(changes).await,
            Ask::Get(key) => match store.read_barrier().await {
                Ok(barrier) => Answer::Got { barrier, rec: store.get(&key).map(|r| rec(&r)) },
                Err(error) => failed(error),
            },
            Ask::List { prefix, barrier } => {
                if barrier && let Err(error) = store.read_barrier().await {
                    return failed(error);
                }
                let page = store.list(&prefix, None, 0);
                let records = page.records.iter().map(|r| rec(r)).collect();
                Answer::Listed { revision: page.revision, records }
            }
            Ask::ListAt { prefix, revision } => {
                match store.list_at(&prefix, revision, None, 0).await {
                    Ok(page) => {
                        let records = page.records.iter().map(|r| rec(r)).collect();
                        Answer::Listed { revision: page.revision, records }
                    }
                    Err(error) => failed(error),
                }
            }
            Ask::Compact(revision) => done(store.compact(revision).await),
            Ask::Initialize => done(store.initialize().await),
            Ask::Add { id, addr } => done(store.add_member(id, &addr, "").await),
            Ask::Remove(id) => done(store.remove_member(id, false).await),
            Ask::Transfer(id) => done(store.transfer_leader(id).await),
            Ask::Stop => {
                store.shutdown().await;
                Answer::Done
            }
            Ask::Set { fault, value } => {
                self.faults.set(FAULTS[fault], value);
                Answer::Done
            }
            Ask::Status => self.status().await,
            Ask::Dump => match tokio::time::timeout(DUMP_TIMEOUT, self.dump()).await {
                Ok(Ok(dump)) => Answer::Dumped(dump),
                Ok(Err(error)) => failed(error),
                Err(_) => Answer::Failed("the history does not reach the newest revision".into()),
            },
            Ask::Watch { .. } | Ask::Unwatch(_) => unreachable!("handled before"),
        }
    }

    async fn write(&self, changes: Vec<Change>) -> Answer {
        let mut txn = Txn::default();
        for Change { key, expect, value } in changes {
            let mut one = match value {
                Some(value) => Txn::put(&key, value_bytes(value)),
                None => Txn::delete(&key),
            }
            .when(key, expect);
            txn.ops.append(&mut one.ops);
            txn.compare.append(&mut one.compare);
        }
        match self.store.write(txn).await {
            Ok(TxnOutcome::Committed { revisions, .. }) => Answer::Committed(revisions),
            Ok(TxnOutcome::Conflict { key, current }) => Answer::Conflict { key, current },
            Err(StoreError::UnknownOutcome(text)) => Answer::Unknown(text),
            Err(error) => Answer::NotDone(error.to_string()),
        }
    }

    async fn status(&self) -> Answer {
        let status = self.store.status();
        let members = self.store.members().await;
        Answer::Status {
            leads: self.store.leadership().borrow().is_local,
            term: status.term,
            revision: status.revision,
            purged: status.purged_index,
            voters: members.iter().filter(|m| m.voter).map(|m| m.id).collect(),
            failure: status.failure,
        }
    }

    async fn dump(&self) -> Result<Dump, StoreError> {
        // A member that has just started shows what it had flushed; the rest comes from its log,
        // once a leader has said how much of that is committed.
        self.store.read_barrier().await?;
        let page = self.store.list("", None, 0);
        let compacted = self.store.compacted();
        let mut watch = self.store.watch("", compacted)?;
        let mut events = Vec::new();
        while watch.progress() < page.revision {
            events.extend(watch.next().await?.iter().map(ev));
        }
        let records = page.records.iter().map(|r| rec(r)).collect();
        Ok(Dump { revision: page.revision, compacted, records, events })
    }

    fn watch(self: Arc<Self>, request: u64, prefix: String, after: u64) {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let ended = this.follow(request, &prefix, after).await.unwrap_err();
            say(
                request,
                &match ended {
                    StoreError::Compacted { requested, compacted } => {
                        Answer::Compacted { requested, compacted }
                    }
                    error => Answer::Ended(error.to_string()),
                },
            );
        });
        self.watches.lock().unwrap().insert(request, task);
    }

    async fn follow(
        &self,
        request: u64,
        prefix: &str,
        after: u64,
    ) -> Result<std::convert::Infallible, StoreError> {
        let mut watch = self.store.watch(prefix, after)?;
        loop {
            let events = watch.next().await?;
            let events = events.iter().map(ev).collect();
            say(request, &Answer::Events { events, progress: watch.progress() });
        }
    }
}
