//! The store as its users see it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::{mpsc::error::TrySendError, oneshot, watch},
};

use crate::{
    Leadership, ListPage, Op, Record, Revision, StoreConfig, StoreError, StoreStatus, Txn,
    TxnOutcome, Watch, codec,
    net::{Service, serve},
    parts::Core,
    proposer::Pending,
    runtime::Home,
    types::Answer,
};

/// How long a new cluster's first member may take to lead.
const FIRST_LEADER_TIMEOUT: Duration = Duration::from_secs(5);
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

    pub(crate) fn core(&self) -> &Arc<Core> {
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
        let alone = core.consensus.initialize(core.node()).await?;
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
            peers: core.peers.clone(),
            report: Arc::new({
                let core = Arc::downgrade(&self.inner.core);
                move || core.upgrade().map(|core| core.report())
            }),
            stop: core.stop.clone(),
            tasks: core.tasks.clone(),
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
        let txn = self.seal(txn)?;
        let answer = self.propose(codec::encode_txn(&txn), txn.fence).await?;
        match answer {
            Answer::Done(outcome) => Ok(outcome),
            _ => Err(StoreError::UnknownOutcome("the answer does not fit the question".into())),
        }
    }

    /// Values as they go into the log.
    fn seal(&self, mut txn: Txn) -> Result<Txn, StoreError> {
        let Some(cipher) = &self.core().cfg.cipher else { return Ok(txn) };
        for op in &mut txn.ops {
            if let Op::Put { key, value } = op {
                let plain = std::mem::take(value);
                *value = cipher.seal(key, plain).map_err(StoreError::Invalid)?;
            }
        }
        Ok(txn)
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
        match self.core().log.failure().or_else(|| self.core().state.failure()) {
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
            .map_err(|e| state.fail(&e))?;
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

    /// Move the clock forward to `revision` and forget all history up to there: what a restored
    /// store begins with, so that no revision is given twice. Never moves it back.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn advance(&self, revision: Revision) -> Result<(), StoreError> {
        self.propose(codec::encode_advance(revision), None).await.map(|_| ())
    }

    /// Who leads, and whether it is this member; changes wake the receiver.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core().leadership.clone()
    }

    /// This member in numbers.
    pub fn status(&self) -> StoreStatus {
        self.core().status()
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
