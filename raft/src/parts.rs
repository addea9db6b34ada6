//! A running member: its parts, put together and taken apart.

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Leadership, StoreConfig, StoreError, StoreStatus,
    barrier::{Barrier, Waiting},
    belonging,
    consensus::Consensus,
    duty, home,
    log::LogStore,
    net::{NetworkFactory, Peers, Report},
    proposer::{Pending, Proposer},
    state::{State, StateMachine},
    types::PeerNode,
};

/// Readers that may wait for a barrier at once.
const BARRIER_QUEUE: usize = 65_536;
/// How long tasks may take to end at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How often, and how many times, it is looked whether the storage is free at shutdown.
const STORAGE_POLL: Duration = Duration::from_millis(5);
const STORAGE_POLLS: u32 = 100;

/// The parts of a member.
pub(crate) struct Core {
    pub(crate) cfg: StoreConfig,
    pub(crate) state: Arc<State>,
    pub(crate) log: LogStore,
    pub(crate) consensus: Consensus,
    pub(crate) peers: Peers,
    pub(crate) proposals: mpsc::Sender<Pending>,
    pub(crate) barriers: mpsc::Sender<Waiting>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Core {
    /// Open the disk and start everything. Must run on the store's own runtime.
    pub(crate) async fn start(cfg: StoreConfig) -> Result<Self, StoreError> {
        let disk = cfg.clone();
        let opened = tokio::task::spawn_blocking(move || open_disk(&disk)).await;
        let (log, state) = opened.map_err(|e| StoreError::Open(e.to_string()))??;
        let peers = Peers::new(&cfg);
        let machine = StateMachine { state: state.clone() };
        let network = NetworkFactory { peers: peers.clone() };
        let consensus = Consensus::start(&cfg, log.clone(), machine, network).await?;
        consensus.elect_if_alone().await;
        let (proposals, proposal_queue) = mpsc::channel(cfg.limits.queued_txns);
        let (barriers, barrier_queue) = mpsc::channel(BARRIER_QUEUE);
        let (report, leadership) = watch::channel(Leadership::default());
        let core = Self {
            cfg,
            state,
            log,
            consensus,
            peers,
            proposals,
            barriers,
            leadership,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        core.start_tasks(proposal_queue, barrier_queue, report);
        Ok(core)
    }

    fn start_tasks(
        &self,
        proposals: mpsc::Receiver<Pending>,
        barriers: mpsc::Receiver<Waiting>,
        report: watch::Sender<Leadership>,
    ) {
        let (consensus, state) = (&self.consensus, &self.state);
        let limits = &self.cfg.limits;
        let proposer = Proposer {
            consensus: consensus.clone(),
            state: state.clone(),
            peers: self.peers.clone(),
            limits: limits.clone(),
        };
        let barrier = Barrier {
            consensus: consensus.clone(),
            state: state.clone(),
            peers: self.peers.clone(),
            timeout: limits.read_timeout,
            faults: self.cfg.faults.clone(),
        };
        let timers = self.cfg.timers.clone();
        self.spawn(proposer.run(proposals));
        self.spawn(barrier.run(barriers));
        self.spawn(duty::follow_leadership(consensus.clone(), state.clone(), timers, report));
        self.spawn(duty::compact_forever(
            state.clone(),
            limits.clone(),
            self.leadership.clone(),
            self.proposals.clone(),
        ));
        let bytes = limits.snapshot_bytes;
        self.spawn(duty::bound_log(consensus.clone(), self.log.clone(), bytes));
        self.spawn(belonging::follow_addresses(consensus.clone(), self.peers.clone()));
        self.spawn(state.clone().scrub_forever());
        let (failing, raft) = (state.clone(), consensus.raft.clone());
        self.spawn(async move {
            failing.until_failed().await;
            // It must not vote, or send what it has, any more.
            if raft.shutdown().await.is_err() {
                tracing::error!("consensus panicked when the disk failed");
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// What the membership should say of this member.
    pub(crate) fn node(&self) -> PeerNode {
        PeerNode {
            peer_addr: self.cfg.peer_addr.clone(),
            api_addr: self.cfg.api_addr.clone(),
            name: self.cfg.name.clone(),
        }
    }

    /// This member in numbers.
    pub(crate) fn status(&self) -> StoreStatus {
        let metrics = self.consensus.raft.metrics();
        let metrics = metrics.borrow_watched();
        let failure =
            self.log.failure().or_else(|| self.state.failure()).or_else(|| {
                metrics.running_state.as_ref().err().map(std::string::ToString::to_string)
            });
        StoreStatus {
            member_id: self.cfg.member_id,
            cluster_id: self.cfg.cluster_id.clone(),
            initialized: !self.log.is_empty(),
            role: format!("{:?}", metrics.state).to_lowercase(),
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log_index: metrics.last_log_index,
            applied_index: self.state.applied().count.checked_sub(1),
            snapshot_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            revision: self.state.revision(),
            compacted: self.state.compacted(),
            keys: self.state.keys(),
            failure,
        }
    }

    /// What this member tells others that ask.
    pub(crate) fn report(&self) -> Report {
        let membership = self.state.applied_membership();
        Report {
            status: self.status(),
            membership_index: membership.log_id().as_ref().map(|id| id.index),
            members: membership.nodes().map(|(id, _)| *id).collect(),
        }
    }

    /// Stop everything; what was acknowledged is on disk already.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.state.close();
        self.peers.close();
        // First whoever asks consensus something: it complains about questions after its end.
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("tasks of the store are still running after {SHUTDOWN_TIMEOUT:?}");
        }
        if self.consensus.raft.shutdown().await.is_err() {
            tracing::error!("consensus panicked at shutdown");
        }
        self.flush_state().await;
        self.wait_for_storage().await;
    }

    /// The log has it all, but so the next start need not apply it again.
    async fn flush_state(&self) {
        let db = self.state.db();
        match tokio::task::spawn_blocking(move || db.sync()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot flush the state at shutdown"),
            Err(error) => tracing::error!(%error, "flushing the state panicked"),
        }
    }

    /// openraft's tasks drop the storage a moment after they were told to stop.
    async fn wait_for_storage(&self) {
        for _ in 0..STORAGE_POLLS {
            // This member's own handle is one; a watch that is still held keeps the state.
            if self.log.handles() <= 1 && Arc::strong_count(&self.state) <= 1 {
                return;
            }
            tokio::time::sleep(STORAGE_POLL).await;
        }
    }
}

fn open_disk(cfg: &StoreConfig) -> Result<(LogStore, Arc<State>), StoreError> {
    let dir = &cfg.data_dir;
    // Held by whoever holds a database, so that the directory is free only when both are closed.
    let lock = Arc::new(home::claim(dir, &cfg.cluster_id, cfg.member_id)?);
    home::check_log_kept(dir)?;
    let log = LogStore::open(&dir.join("log"), Some(lock.clone()), cfg.faults.clone())?;
    if !log.is_empty() {
        home::check_state_kept(dir)?;
    }
    let state = open_state(dir, cfg, lock)?;
    Ok((log, state))
}

fn open_state(dir: &Path, cfg: &StoreConfig, lock: Arc<File>) -> Result<Arc<State>, StoreError> {
    let (faults, cipher) = (cfg.faults.clone(), cfg.cipher.clone());
    let opened = State::open(dir, &cfg.limits, Some(lock), faults, cipher).and_then(|state| {
        // The state may be ahead of what the log has on disk; the log is then cut off up to the
        // state, and must never be ahead of what the state has on disk.
        state.db().sync()?;
        Ok(state)
    });
    opened.map_err(|e| StoreError::Open(home::unusable("the state", dir, &e.to_string())))
}
