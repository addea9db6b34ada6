//! Changing who belongs to a cluster: refusals that protect the quorum, members that learn of their
//! removal, members that move, and a clock that jumps forward.

mod common;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use common::Pki;
use kabuki_raft::{Store, StoreConfig, StoreError, Txn, TxnOutcome};
use tokio::net::TcpListener;

struct Cluster {
    dir: tempfile::TempDir,
    pki: Pki,
    stores: Vec<Option<Store>>,
}

impl Cluster {
    async fn new(size: usize) -> Self {
        common::logs();
        let mut this =
            Self { dir: tempfile::tempdir().unwrap(), pki: Pki::new(), stores: Vec::new() };
        for n in 0..size {
            let addr = this.start(n, None).await.unwrap();
            if n == 0 {
                this.store(0).initialize().await.unwrap();
            } else {
                let id = n as u64 + 1;
                this.store(0).add_member(id, &addr.to_string(), "api").await.unwrap();
            }
        }
        this
    }

    fn path(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("m{n}"))
    }

    /// Starts a member, on a new address unless one is given.
    async fn start(
        &mut self,
        n: usize,
        addr: Option<SocketAddr>,
    ) -> Result<SocketAddr, StoreError> {
        let listener = TcpListener::bind(addr.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut cfg = StoreConfig::new(self.path(n), n as u64 + 1, "test");
        cfg.peer_addr = addr.to_string();
        cfg.name = format!("member-{n}");
        cfg.tls = Some(self.pki.tls());
        let store = Store::open(cfg).await?;
        let serving = store.clone();
        tokio::spawn(async move { serving.serve_peers(listener).await });
        while self.stores.len() <= n {
            self.stores.push(None);
        }
        self.stores[n] = Some(store);
        Ok(addr)
    }

    fn store(&self, n: usize) -> &Store {
        self.stores[n].as_ref().unwrap()
    }

    async fn stop(&mut self, n: usize) {
        self.stores[n].take().unwrap().shutdown().await;
    }

    async fn leader(&self) -> usize {
        for _ in 0..500 {
            for (n, store) in self.stores.iter().enumerate() {
                if store.as_ref().is_some_and(|s| s.leadership().borrow().is_local) {
                    return n;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody leads");
    }
}

async fn write(store: &Store, key: &str) {
    let done = store.write(Txn::put(key, "v")).await.unwrap();
    assert!(matches!(done, TxnOutcome::Committed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn removing_keeps_the_quorum_and_the_removed_member_learns_of_it() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let dead = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    cluster.stop(dead).await;
    // One that has only just gone already counts as dead: it is asked, not remembered.
    let error = cluster.store(other).remove_member(other as u64 + 1, false).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("[{}]", dead + 1)), "{text}");
    assert!(text.contains("--force"), "{text}");
    write(cluster.store(other), "/a").await;

    cluster.store(other).remove_member(dead as u64 + 1, false).await.unwrap();
    assert_eq!(cluster.store(other).members().await.len(), 2);
    // Asking again changes nothing.
    cluster.store(other).remove_member(dead as u64 + 1, false).await.unwrap();

    // It was away when it was removed, and learns of it when it comes back.
    cluster.start(dead, None).await.unwrap();
    let removed = cluster.store(dead).until_removed();
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap().unwrap();
    cluster.stop(dead).await;
    let error = cluster.start(dead, None).await.unwrap_err().to_string();
    assert!(error.contains("join again with a new token"), "{error}");

    // A leader that is removed hands over first and learns of it while it runs.
    let leader = cluster.leader().await;
    let rest = if leader == other { 3 - dead - other } else { other };
    let removed = tokio::spawn({
        let store = cluster.store(leader).clone();
        async move { store.until_removed().await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    cluster.store(leader).remove_member(leader as u64 + 1, false).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap().unwrap().unwrap();
    write(cluster.store(rest), "/b").await;
    let error = cluster.store(rest).remove_member(rest as u64 + 1, false).await.unwrap_err();
    assert!(error.to_string().contains("the last voter"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_moves_to_another_address() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let moving = (leader + 1) % 3;
    cluster.stop(moving).await;
    write(cluster.store(leader), "/while-away").await;
    let addr = cluster.start(moving, None).await.unwrap();
    let announced = cluster.store(moving).announce();
    tokio::time::timeout(Duration::from_secs(20), announced).await.unwrap();
    cluster.store(moving).read_barrier().await.unwrap();
    assert!(cluster.store(moving).get("/while-away").is_some());
    let members = cluster.store(leader).members().await;
    let moved = members.iter().find(|m| m.id == moving as u64 + 1).unwrap();
    assert_eq!(
        (&moved.peer_addr, &moved.name[..]),
        (&addr.to_string(), &*format!("member-{moving}"))
    );
    let survey = cluster.store(leader).survey().await;
    assert!(survey.iter().all(|m| m.status.is_ok()), "{survey:?}");
    let to = cluster.store(moving).hand_over().await.unwrap();
    assert_ne!(to, leader as u64 + 1);
    write(cluster.store(leader), "/after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_jumps_forward_and_history_before_is_gone() {
    const FAR: u64 = 5_000_000_000;
    let mut cluster = Cluster::new(1).await;
    write(cluster.store(0), "/registry/core/pods/a").await;
    let store = cluster.store(0);
    let before = store.revision();
    store.advance(FAR).await.unwrap();
    store.advance(FAR - 1).await.unwrap();
    assert_eq!((store.revision(), store.compacted()), (FAR, FAR));
    let watched = store.watch("/registry/core/pods/", before).map(|_| ()).unwrap_err();
    assert!(matches!(watched, StoreError::Compacted { .. }), "{watched:?}");
    assert_eq!(store.get("/registry/core/pods/a").unwrap().mod_revision, before);
    let mut watch = store.watch("/registry/core/pods/", FAR).unwrap();
    write(store, "/registry/core/pods/b").await;
    assert_eq!(watch.next().await.unwrap()[0].revision, FAR + 1);
    drop(watch);
    cluster.stop(0).await;
    cluster.start(0, None).await.unwrap();
    cluster.store(0).initialize().await.unwrap();
    assert_eq!(cluster.store(0).revision(), FAR + 1);
    assert_eq!(cluster.store(0).compacted(), FAR);
}
