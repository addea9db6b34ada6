//! Three members in one process, over loopback with mutual TLS.

mod common;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::Pki;
use kabuki_raft::{Limits, Store, StoreConfig, StoreError, Txn, TxnOutcome};
use tokio::net::TcpListener;

const TOPIC: &str = "/registry/core/configmaps/";

struct Cluster {
    dir: tempfile::TempDir,
    pki: Pki,
    limits: Limits,
    addrs: Vec<SocketAddr>,
    stores: Vec<Option<Store>>,
}

impl Cluster {
    async fn new(limits: Limits) -> Self {
        common::logs();
        let dir = tempfile::tempdir().unwrap();
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addrs = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let pki = Pki::new();
        let mut this = Self { dir, pki, limits, addrs, stores: vec![None, None, None] };
        for (n, listener) in listeners.into_iter().enumerate() {
            this.start(n, listener).await;
        }
        this.store(0).initialize().await.unwrap();
        for n in [1, 2] {
            let addr = this.addrs[n].to_string();
            this.store(0).add_member(n as u64 + 1, &addr, "api").await.unwrap();
        }
        this
    }

    fn path(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("m{n}"))
    }

    fn config(&self, n: usize) -> StoreConfig {
        let mut cfg = StoreConfig::new(self.path(n), n as u64 + 1, "test");
        cfg.peer_addr = self.addrs[n].to_string();
        cfg.tls = Some(self.pki.tls());
        cfg.limits = self.limits.clone();
        cfg
    }

    async fn start(&mut self, n: usize, listener: TcpListener) {
        let store = Store::open(self.config(n)).await.unwrap();
        serve(&store, listener);
        self.stores[n] = Some(store);
    }

    async fn restart(&mut self, n: usize) {
        let listener = TcpListener::bind(self.addrs[n]).await.unwrap();
        self.start(n, listener).await;
    }

    async fn stop(&mut self, n: usize) {
        let store = self.stores[n].take().unwrap();
        store.shutdown().await;
    }

    fn store(&self, n: usize) -> &Store {
        self.stores[n].as_ref().unwrap()
    }

    async fn leader(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let leads = |s: &Store| s.leadership().borrow().is_local;
            if let Some(n) = self.stores.iter().position(|s| s.as_ref().is_some_and(leads)) {
                return n;
            }
            assert!(Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Serving must not keep the store alive, so the task gets a clone that ends with shutdown.
fn serve(store: &Store, listener: TcpListener) {
    let store = store.clone();
    tokio::spawn(async move { store.serve_peers(listener).await });
}

async fn put(store: &Store, key: &str, value: &str) -> u64 {
    let txn = Txn::put(format!("{TOPIC}ns/{key}"), value.to_owned());
    match store.write(txn).await.unwrap() {
        TxnOutcome::Committed { revision, .. } => revision,
        other => panic!("{other:?}"),
    }
}

fn dump(store: &Store) -> Vec<(String, u64, Vec<u8>)> {
    let page = store.list("/", None, 0);
    let row = |r: &std::sync::Arc<kabuki_raft::Record>| {
        (r.key.to_string(), r.mod_revision, r.value.to_vec())
    };
    page.records.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_reads_and_writes() {
    let mut cluster = Cluster::new(Limits::default()).await;
    let members = cluster.store(2).members().await;
    assert_eq!(members.iter().filter(|m| m.voter).count(), 3, "{members:?}");

    let mut watch = cluster.store(2).watch(TOPIC, 1).unwrap();
    let mut last = 1;
    for n in 0..30 {
        // Written through one member, read behind a barrier on another.
        let revision = put(cluster.store(n % 3), "a", &n.to_string()).await;
        assert!(revision > last);
        last = revision;
        let reader = cluster.store((n + 1) % 3);
        assert!(reader.read_barrier().await.unwrap() >= revision);
        let record = reader.get(&format!("{TOPIC}ns/a")).unwrap();
        assert_eq!((record.mod_revision, &record.value[..]), (revision, n.to_string().as_bytes()));
        // And on the writer itself without one.
        assert!(cluster.store(n % 3).revision() >= revision);
    }
    let mut seen = 0;
    while seen < 30 {
        for event in watch.next().await.unwrap() {
            assert_eq!(&event.record.value[..], seen.to_string().as_bytes());
            seen += 1;
        }
    }

    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let old_term = cluster.store(leader).leadership().borrow().term;
    let error = cluster.store(other).write(Txn::put("/x", "y").fenced(old_term)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotLeader { .. }), "{error}");
    let begun = Instant::now();
    cluster.store(leader).transfer_leader(other as u64 + 1).await.unwrap();
    println!("planned transfer: {:?}", begun.elapsed());
    assert_eq!(cluster.leader().await, other);
    let error =
        cluster.store(leader).write(Txn::put("/x", "y").fenced(old_term)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotLeader { .. }), "{error}");
    let new_term = cluster.store(other).leadership().borrow().term;
    cluster.store(other).write(Txn::put("/x", "z").fenced(new_term)).await.unwrap();

    // The leader goes; the others carry on, and it comes back.
    cluster.stop(other).await;
    let begun = Instant::now();
    let revision = put(cluster.store(leader), "b", "without").await;
    println!("leader stopped to next write: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    cluster.restart(other).await;
    assert!(cluster.store(other).read_barrier().await.unwrap() >= revision);
    assert_eq!(dump(cluster.store(other)), dump(cluster.store(leader)));

    let third = 3 - leader - other;
    cluster.store(third).remove_member(other as u64 + 1, false).await.unwrap();
    let members = cluster.store(leader).members().await;
    assert_eq!(members.len(), 2, "{members:?}");
    put(cluster.store(leader), "c", "two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_gets_a_snapshot() {
    let limits = Limits { snapshot_entries: 40, kept_entries: 10, ..Limits::default() };
    let mut cluster = Cluster::new(limits).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let before = put(cluster.store(leader), "before", "1").await;
    cluster.store(away).read_barrier().await.unwrap();
    cluster.stop(away).await;
    for n in 0..200 {
        put(cluster.store(leader), &format!("k{}", n % 20), &"v".repeat(n * 10)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let purged = loop {
        if let Some(purged) = cluster.store(leader).status().purged_index {
            break purged;
        }
        assert!(Instant::now() < deadline, "{:?}", cluster.store(leader).status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    cluster.restart(away).await;
    let revision = cluster.store(away).read_barrier().await.unwrap();
    assert_eq!(revision, before + 200);
    assert_eq!(dump(cluster.store(away)), dump(cluster.store(leader)));
    // What consensus reports comes a moment after what was applied.
    let deadline = Instant::now() + Duration::from_secs(5);
    while cluster.store(away).status().purged_index < Some(purged) {
        let status = cluster.store(away).status();
        assert!(Instant::now() < deadline, "no snapshot came: {status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // History came along: a watcher goes on where it was.
    let mut watch = cluster.store(away).watch(TOPIC, before).unwrap();
    let mut next = before + 1;
    while next <= revision {
        for event in watch.next().await.unwrap() {
            assert_eq!(event.revision, next);
            next += 1;
        }
    }
    drop(watch);
    // And it lives on: another restart, more writes.
    cluster.stop(away).await;
    put(cluster.store(leader), "after", "1").await;
    cluster.restart(away).await;
    cluster.store(away).read_barrier().await.unwrap();
    assert_eq!(dump(cluster.store(away)), dump(cluster.store(leader)));
    assert_eq!(states(&cluster.path(away)), 1, "old states are removed");
}

fn states(dir: &Path) -> usize {
    let names =
        std::fs::read_dir(dir).unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    names.filter(|name| name.starts_with("state-")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_writes_and_reads_say_so() {
    let limits = Limits {
        write_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut cluster = Cluster::new(limits).await;
    let leader = cluster.leader().await;
    put(cluster.store(leader), "a", "1").await;
    cluster.stop((leader + 1) % 3).await;
    cluster.stop((leader + 2) % 3).await;
    let error = cluster.store(leader).write(Txn::put("/x", "lost?")).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownOutcome(_) | StoreError::Unavailable(_)), "{error}");
    let error = cluster.store(leader).read_barrier().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let mut leadership = cluster.store(leader).leadership();
    let fell = tokio::time::timeout(Duration::from_secs(5), leadership.wait_for(|l| !l.is_local));
    fell.await.expect("a leader without a quorum must not call itself local").unwrap();
    cluster.restart((leader + 1) % 3).await;
    put(cluster.store(leader), "b", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let cluster = Cluster::new(Limits::default()).await;
    // A certificate of another CA, and a member of another cluster with a good certificate.
    for (n, (pki, name)) in
        [(Pki::new(), "test"), (cluster.pki.clone(), "other")].into_iter().enumerate()
    {
        let mut cfg = StoreConfig::new(cluster.dir.path().join(format!("s{n}")), 9, name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        cfg.peer_addr = listener.local_addr().unwrap().to_string();
        cfg.tls = Some(pki.tls());
        let stranger = Store::open(cfg.clone()).await.unwrap();
        serve(&stranger, listener);
        let leader = cluster.store(cluster.leader().await).clone();
        let add = leader.add_member(9, &cfg.peer_addr, "");
        let added = tokio::time::timeout(Duration::from_millis(700), add).await;
        assert!(added.is_err(), "{added:?}");
        assert!(leader.members().await.iter().all(|m| m.id != 9 || !m.voter));
        assert_eq!(stranger.revision(), 1);
        leader.remove_member(9, false).await.unwrap();
    }
    put(cluster.store(0), "still", "well").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_on_every_member() {
    let cluster = Cluster::new(Limits::default()).await;
    let begun = Instant::now();
    let writers: Vec<_> = (0..96)
        .map(|w| {
            let store = cluster.store(w % 3).clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for n in 0..50 {
                    revisions.push(put(&store, &format!("w{w}"), &n.to_string()).await);
                }
                revisions
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    println!("96 writers, 4800 writes: {:?}", begun.elapsed());
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a revision was given twice");
    for n in 0..3 {
        cluster.store(n).read_barrier().await.unwrap();
        assert_eq!(dump(cluster.store(n)), dump(cluster.store(0)));
    }
}
