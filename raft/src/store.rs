//! The store as its users see it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::{
    net::TcpListener,
    sync::{mpsc::error::TrySendError, oneshot, watch},
};

use crate::{
    Leadership, ListPage, Member, MemberId, Record, Revision, StoreConfig, StoreError, StoreStatus,
    Txn, TxnOutcome, Watch, codec,
    net::{Admin, Service, admin, serve},
    parts::Core,
    proposer::Pending,
    runtime::Home,
    types::{Answer, PeerNode},
};

/// How long a new cluster's first member may take to lead.
const FIRST_LEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a change of the membership may take, a new member's catching up included.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a planned change of leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often leadership is offered before giving up.
const TRANSFER_TRIES: usize = 3;

/// The replicated store: one member of a quorum. Cheap to clone; all clones are one member.
///
/// The member stops when [`Store::shutdown`] is called or the last clone is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    home: Home,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.core.stop.is_cancelled() {
            let core = self.core.clone();
            self.home.handle.spawn(async move { core.stop().await });
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("status", &self.status()).finish()
    }
}

impl Store {
    /// Open a member on its data directory and start it. A fresh directory then needs
    /// [`Store::initialize`] on the first member, or [`Store::add_member`] on an existing one.
    ///
    /// Tasks run on the caller's runtime if that has several threads, else on threads of its own.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the directory is in use, belongs to another member or holds
    /// something that makes no sense; the message says what to do.
    pub async fn open(cfg: StoreConfig) -> Result<Store, StoreError> {
        let home = Home::find()?;
        let started = home.handle.spawn(Core::start(cfg)).await;
        let core = started.map_err(|e| StoreError::Open(e.to_string()))??;
        Ok(Store { inner: Arc::new(Inner { core: Arc::new(core), home }) })
    }

    /// A store of one member without peers, initialized and leading: for tests and tools.
    ///
    /// # Errors
    /// As [`Store::open`] and [`Store::initialize`].
    pub async fn open_single(dir: impl AsRef<Path>) -> Result<Store, StoreError> {
        let store = Store::open(StoreConfig::new(dir.as_ref(), 1, "single")).await?;
        store.initialize().await?;
        Ok(store)
    }

    fn core(&self) -> &Core {
        &self.inner.core
    }

    /// Make this member the first one of a new cluster, and wait until it leads. Does nothing
    /// but wait when that happened before.
    ///
    /// # Errors
    /// [`StoreError::Membership`] when the directory belongs to a cluster this member is not a
    /// voter of, [`StoreError::Unavailable`] when no leadership comes about.
    pub async fn initialize(&self) -> Result<(), StoreError> {
        let core = self.core();
        let node =
            PeerNode { peer_addr: core.cfg.peer_addr.clone(), api_addr: core.cfg.api_addr.clone() };
        let alone = core.consensus.initialize(node).await?;
        if !alone {
            return Ok(());
        }
        let mut leadership = self.leadership();
        let leads = leadership.wait_for(|l| l.is_local);
        match tokio::time::timeout(FIRST_LEADER_TIMEOUT, leads).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(StoreError::Unavailable("the only member does not lead".into())),
        }
    }

    /// Accept connections of other members until the store is shut down. Spawn it; the serving
    /// itself runs where the store runs.
    pub async fn serve_peers(&self, listener: TcpListener) {
        let core = self.core();
        let Some(tls) = core.cfg.tls.clone() else {
            tracing::error!("peers cannot be served: the store was opened without certificates");
            return;
        };
        let service = Arc::new(Service {
            consensus: core.consensus.clone(),
            member_id: core.cfg.member_id,
            cluster_id: core.cfg.cluster_id.clone(),
            tls,
            data: core.cfg.data_dir.clone(),
            stop: core.stop.clone(),
        });
        let serving = self.inner.home.handle.spawn(async move {
            match listener.into_std().and_then(TcpListener::from_std) {
                Ok(listener) => serve(service, listener).await,
                Err(error) => tracing::error!(%error, "cannot serve peers on this listener"),
            }
        });
        if serving.await.is_err() {
            tracing::error!("serving peers panicked; restart this member");
        }
    }

    /// Evaluate and apply a transaction, on any member; returns once it is applied here too.
    ///
    /// # Errors
    /// [`StoreError::UnknownOutcome`] when it may or may not have happened; every other error
    /// means that nothing was written.
    pub async fn write(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        txn.check()?;
        let answer = self.propose(codec::encode_txn(&txn), txn.fence).await?;
        match answer {
            Answer::Done(outcome) => Ok(outcome),
            _ => Err(StoreError::UnknownOutcome("the answer does not fit the question".into())),
        }
    }

    async fn propose(&self, command: Bytes, fence: Option<u64>) -> Result<Answer, StoreError> {
        let core = self.core();
        self.check_running()?;
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + core.cfg.limits.write_timeout;
        let pending = Pending { command, fence, deadline, reply };
        core.proposals.try_send(pending).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Overloaded("too many writes are waiting"),
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        let stopped = |_| StoreError::UnknownOutcome("the store was shut down".into());
        answer.await.map_err(stopped)?
    }

    fn check_running(&self) -> Result<(), StoreError> {
        match self.core().log.failure() {
            Some(text) => Err(StoreError::Storage(text)),
            None if self.core().stop.is_cancelled() => Err(StoreError::Closed),
            None => Ok(()),
        }
    }

    /// Wait until everything written anywhere before this call is applied here. All calls that
    /// wait share one question to the leader.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no leader with a quorum answers in time.
    pub async fn read_barrier(&self) -> Result<Revision, StoreError> {
        self.check_running()?;
        let (reply, answer) = oneshot::channel();
        self.core().barriers.try_send(reply).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Overloaded("too many reads are waiting"),
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// The record of a key, as applied here.
    pub fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.core().state.get(key)
    }

    /// Records under a prefix in key order, as applied here: after `start_after`, at most
    /// `limit` (0: all). The page and its revision belong together.
    pub fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> ListPage {
        self.core().state.list(prefix, start_after, limit)
    }

    /// What [`Store::list`] showed (or would have shown) at an earlier revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`], [`StoreError::FutureRevision`] (behind a read barrier that
    /// does not happen with a revision some member showed), [`StoreError::Storage`].
    pub async fn list_at(
        &self,
        prefix: &str,
        revision: Revision,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        let state = &self.core().state;
        let current = state.revision();
        if revision > current {
            return Err(StoreError::FutureRevision { requested: revision, current });
        }
        state.check_history(revision)?;
        if let Some(page) = state.list_unchanged(prefix, revision, start_after, limit) {
            return Ok(page);
        }
        let (db, prefix) = (state.db(), prefix.to_owned());
        let start_after = start_after.map(str::to_owned);
        let read =
            self.inner.home.handle.spawn_blocking(move || {
                db.list_at(&prefix, revision, start_after.as_deref(), limit)
            });
        let page = read
            .await
            .map_err(|e| StoreError::Storage(e.to_string()))?
            .map_err(|e| StoreError::Storage(e.to_string()))?;
        // Compaction marks first and removes later: without a mark nothing was missing.
        state.check_history(revision)?;
        Ok(page)
    }

    /// The newest revision applied here. An empty store is at 1.
    pub fn revision(&self) -> Revision {
        self.core().state.revision()
    }

    /// History after this revision can be read; 0 when nothing was compacted.
    pub fn compacted(&self) -> Revision {
        self.core().state.compacted()
    }

    /// A revision after which nothing under the topic changed. Exact for what changed since this
    /// member started; before that, the revision it started at.
    pub fn topic_revision(&self, topic: &str) -> Revision {
        self.core().state.rings().topic(topic).last()
    }

    /// Follow the changes of a topic or prefix after a revision.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when history after `after` is gone.
    pub fn watch(&self, topic_or_prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        Watch::new(self.core().state.clone(), topic_or_prefix, after)
    }

    /// Forget history before `revision`, on every member.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] and [`StoreError::FutureRevision`]; else as [`Store::write`].
    pub async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let current = self.revision();
        if revision > current {
            return Err(StoreError::FutureRevision { requested: revision, current });
        }
        self.core().state.check_history(revision)?;
        self.propose(codec::encode_compact(revision), None).await.map(|_| ())
    }

    /// Who leads, and whether it is this member; changes wake the receiver.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core().leadership.clone()
    }

    /// The members as known here.
    pub async fn members(&self) -> Vec<Member> {
        let metrics = self.core().consensus.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        let voters: Vec<_> = membership.voter_ids().collect();
        membership
            .nodes()
            .map(|(id, node)| Member {
                id: *id,
                peer_addr: node.peer_addr.clone(),
                api_addr: node.api_addr.clone(),
                voter: voters.contains(id),
                leader: metrics.current_leader == Some(*id),
            })
            .collect()
    }

    /// Add a member, on any member: it first catches up as a learner, then votes. It must be
    /// open and serving peers already.
    ///
    /// # Errors
    /// [`StoreError::Membership`], also when it does not become a voter in time.
    pub async fn add_member(
        &self,
        id: MemberId,
        peer_addr: &str,
        api_addr: &str,
    ) -> Result<(), StoreError> {
        let node = PeerNode { peer_addr: peer_addr.to_owned(), api_addr: api_addr.to_owned() };
        self.administer(Admin::Add { id, node }).await
    }

    /// Remove a member, on any member. Its id must never be used again.
    ///
    /// # Errors
    /// [`StoreError::Membership`].
    pub async fn remove_member(&self, id: MemberId) -> Result<(), StoreError> {
        self.administer(Admin::Remove { id }).await
    }

    /// Hand leadership to another voter, and wait until this member sees it lead.
    ///
    /// # Errors
    /// [`StoreError::Membership`], also when it does not lead in time.
    pub async fn transfer_leader(&self, id: MemberId) -> Result<(), StoreError> {
        let mut leadership = self.leadership();
        for _ in 0..TRANSFER_TRIES {
            self.administer(Admin::Transfer { id }).await?;
            let moved = leadership.wait_for(|l| l.leader == Some(id));
            if let Ok(Ok(_)) = tokio::time::timeout(TRANSFER_TIMEOUT, moved).await {
                return Ok(());
            }
            // It lost its election, to a vote that was late or to another member: ask again.
        }
        Err(StoreError::Membership(format!("member {id} did not take over")))
    }

    async fn administer(&self, change: Admin) -> Result<(), StoreError> {
        let consensus = &self.core().consensus;
        let work = async {
            if consensus.leads() {
                return match change {
                    Admin::Add { id, node } => consensus.add_member(id, node).await,
                    Admin::Remove { id } => consensus.remove_member(id).await,
                    Admin::Transfer { id } => consensus.transfer_leader(id).await,
                };
            }
            let Some((leader, addr)) = consensus.leader() else {
                return Err(StoreError::Unavailable("no leader is known".into()));
            };
            admin(&self.core().peers, leader, &addr, &change, MEMBERSHIP_TIMEOUT).await
        };
        match tokio::time::timeout(MEMBERSHIP_TIMEOUT, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Membership(format!(
                "not done within {MEMBERSHIP_TIMEOUT:?}; check that the member runs and is reachable"
            ))),
        }
    }

    /// This member in numbers.
    pub fn status(&self) -> StoreStatus {
        let core = self.core();
        let metrics = core.consensus.raft.metrics();
        let metrics = metrics.borrow_watched();
        let failure = core
            .log
            .failure()
            .or_else(|| metrics.running_state.as_ref().err().map(std::string::ToString::to_string));
        StoreStatus {
            member_id: core.cfg.member_id,
            cluster_id: core.cfg.cluster_id.clone(),
            initialized: !core.log.is_empty(),
            role: format!("{:?}", metrics.state).to_lowercase(),
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log_index: metrics.last_log_index,
            applied_index: core.state.applied().count.checked_sub(1),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            revision: core.state.revision(),
            compacted: core.state.compacted(),
            keys: core.state.keys(),
            failure,
        }
    }

    /// Stop this member. Everything acknowledged is on disk already; watches end with
    /// [`StoreError::Closed`]. The directory can be opened again once every clone and watch is
    /// dropped.
    pub async fn shutdown(&self) {
        let core = self.inner.core.clone();
        let stopping = self.inner.home.handle.spawn(async move { core.stop().await });
        if stopping.await.is_err() {
            tracing::error!("the store panicked at shutdown");
        }
    }
}
