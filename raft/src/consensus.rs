//! The small face of consensus: all that the rest of this crate asks of openraft.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::{
    ChangeMembers, Instant as _, LinearizerOption, Raft, ServerState, SnapshotPolicy,
    async_runtime::watch::WatchReceiver as _,
    errors::{ClientWriteError, LinearizableReadError, RaftError},
    impls::ProgressResponder,
};

use crate::{
    MemberId, StoreConfig, StoreError,
    log::LogStore,
    net::{NetworkFactory, Peers},
    state::StateMachine,
    types::{Applied, PeerNode, Proposal, TypeConfig},
};

/// Log entries in one message to a follower at most; bytes are bounded by the log's reader.
const MESSAGE_ENTRIES: u64 = 256;
/// How long sending and installing a snapshot may take.
const SNAPSHOT_TIMEOUT_MS: u64 = 600_000;
/// Bound of openraft's own queues.
const CORE_QUEUE: u64 = 16_384;

/// A leader that no quorum has answered for this long takes no more writes and reads.
const QUORUM_PATIENCE: Duration = Duration::from_secs(2);
/// How long one that comes then waits for the quorum, which may just be coming back.
const QUORUM_GRACE: Duration = Duration::from_secs(1);
/// Pause before asking again who leads.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(15);
/// How long a new member may take to get everything there is.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(45);

/// openraft, configured.
pub(crate) type RaftHandle = Raft<TypeConfig, StateMachine>;

/// Why a proposal was not answered with what became of it.
#[derive(Debug, Clone)]
pub(crate) enum ProposeError {
    /// It was refused before anything was written; it may be tried elsewhere.
    NotLeader,
    /// It may or may not take effect.
    Unknown(String),
    /// This member has failed and wrote nothing.
    Failed(String),
}

/// Consensus on this member.
#[derive(Clone)]
pub(crate) struct Consensus {
    pub(crate) raft: RaftHandle,
    pub(crate) member_id: MemberId,
    pub(crate) peers: Peers,
}

fn raft_config(cfg: &StoreConfig) -> Result<openraft::Config, StoreError> {
    let millis = |d: Duration| d.as_millis() as u64;
    let config = openraft::Config {
        cluster_name: cfg.cluster_id.clone(),
        heartbeat_interval: millis(cfg.timers.heartbeat),
        election_timeout_min: millis(cfg.timers.election_min),
        election_timeout_max: millis(cfg.timers.election_max),
        install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
        max_payload_entries: MESSAGE_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(cfg.limits.snapshot_entries),
        max_in_snapshot_log_to_keep: cfg.limits.kept_entries,
        replication_lag_threshold: cfg.limits.snapshot_entries.saturating_mul(2),
        api_channel_size: Some(CORE_QUEUE),
        notification_channel_size: Some(CORE_QUEUE),
        api_batch_linger_ms: 0,
        broadcast_submitted_on_append: Some(true),
        enable_pre_vote: Some(true),
        // A restarted leader must win an election: only so it learns what was committed.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    config.validate().map_err(|e| StoreError::Invalid(format!("timers: {e}")))
}

impl Consensus {
    pub(crate) async fn start(
        cfg: &StoreConfig,
        log: LogStore,
        machine: StateMachine,
        network: NetworkFactory,
    ) -> Result<Self, StoreError> {
        let config = Arc::new(raft_config(cfg)?);
        let peers = network.peers.clone();
        let raft = Raft::new(cfg.member_id, config, network, log, machine).await.map_err(|e| {
            StoreError::Open(format!(
                "the log and the state in {} do not fit together ({e}); if the rest of the \
                 cluster is well, remove this member, empty its data directory and join it again \
                 under a new id",
                cfg.data_dir.display()
            ))
        })?;
        Ok(Self { raft, member_id: cfg.member_id, peers })
    }

    /// Make this member the first of a new cluster; no harm when it was before. Tells whether it
    /// is the only voter.
    pub(crate) async fn initialize(&self, node: PeerNode) -> Result<bool, StoreError> {
        let error = match self.raft.initialize(BTreeMap::from([(self.member_id, node)])).await {
            Ok(()) => return Ok(true),
            Err(RaftError::APIError(error)) => error,
            Err(RaftError::Fatal(e)) => return Err(StoreError::Storage(e.to_string())),
        };
        let voters = self.voters().await;
        if !voters.contains(&self.member_id) {
            return Err(StoreError::Membership(error.to_string()));
        }
        Ok(voters.len() == 1)
    }

    /// The voters by the newest membership on this member's disk; metrics lag behind it.
    pub(crate) async fn voters(&self) -> BTreeSet<MemberId> {
        let read = self.raft.with_raft_state(|state| {
            state.membership_state.effective().voter_ids().collect::<BTreeSet<_>>()
        });
        read.await.unwrap_or_default()
    }

    /// Stand for election at once if no other voter has to be waited for.
    pub(crate) async fn elect_if_alone(&self) {
        if self.voters().await == BTreeSet::from([self.member_id])
            && let Err(error) = self.raft.trigger().elect(false).await
        {
            tracing::error!(%error, "cannot start an election");
        }
    }

    /// Whether this member is the only voter, so that no election has to be waited for.
    pub(crate) fn is_alone(&self) -> bool {
        let voters: Vec<_> = self.raft.voter_ids().collect();
        voters == [self.member_id]
    }

    /// Write a proposal through this member's leadership.
    pub(crate) async fn propose(
        &self,
        proposal: Proposal,
        timeout: Duration,
    ) -> Result<(Applied, u64), ProposeError> {
        let (responder, answer) = ProgressResponder::complete_only();
        if let Err(fatal) = self.raft.client_write_ff(proposal, Some(responder)).await {
            return Err(ProposeError::Failed(fatal.to_string()));
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(Ok(done))) => Ok((done.data, done.log_id.index)),
            Ok(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Err(ProposeError::NotLeader),
            Ok(Ok(Err(error))) => Err(ProposeError::Unknown(error.to_string())),
            Ok(Err(_)) => Err(ProposeError::Unknown("consensus stopped on this member".into())),
            Err(_) => Err(ProposeError::Unknown(format!("no quorum within {timeout:?}"))),
        }
    }

    /// The log index that must be applied before a read is linearizable. Leader only.
    pub(crate) async fn read_index(&self) -> Result<u64, ProposeError> {
        // First who this member is, then the index, then whether it still was that meanwhile.
        let leading = self.leading().await?;
        // No answer is older than the lease, or some heartbeat is waited for.
        let index = match self.raft.get_read_linearizer(LinearizerOption::new(None, true)).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
                Err(ProposeError::NotLeader)
            }
            Err(RaftError::APIError(error)) => Err(ProposeError::Unknown(error.to_string())),
            Err(RaftError::Fatal(error)) => Err(ProposeError::Failed(error.to_string())),
        }?;
        self.confirm(&leading).await?;
        Ok(index)
    }

    /// Where a member is, by the newest membership known here.
    pub(crate) fn address(&self, id: MemberId) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Some(metrics.membership_config.get_node(&id)?.peer_addr.clone())
    }

    /// The leader and its peer address as known here.
    pub(crate) fn leader(&self) -> Option<(MemberId, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.get_node(&leader)?;
        Some((leader, node.peer_addr.clone()))
    }

    pub(crate) fn term(&self) -> u64 {
        self.raft.metrics().borrow_watched().current_term
    }

    /// Whether this member leads in its current term.
    pub(crate) fn leads(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.state == ServerState::Leader && metrics.current_leader == Some(self.member_id)
    }

    /// How long ago a quorum last answered this leader; `None` when this member does not lead.
    pub(crate) fn quorum_age(&self) -> Option<Duration> {
        let leader = self.raft.as_leader().ok()?;
        Some(leader.last_quorum_acked()?.elapsed())
    }

    /// Whether this member leads in name only: no quorum has answered it for a while, so what it
    /// proposed would wait, and others may lead already.
    fn has_lost_quorum(&self) -> bool {
        self.quorum_age().is_some_and(|age| age > QUORUM_PATIENCE) && !self.is_alone()
    }

    /// Whether to go on with what has waited since `begun`; false, after a pause, to look again
    /// because a leader's quorum may just be coming back.
    ///
    /// # Errors
    /// When it has not come back in time. Nothing was sent.
    pub(crate) async fn has_quorum(&self, begun: Instant) -> Result<bool, StoreError> {
        if !self.has_lost_quorum() {
            return Ok(true);
        }
        if begun.elapsed() < QUORUM_GRACE {
            tokio::time::sleep(RETRY_PAUSE).await;
            return Ok(false);
        }
        let text = "this member leads, but the others do not answer it";
        Err(StoreError::Unavailable(text.into()))
    }

    /// Add a member: first as a learner until it has caught up, then as a voter. Leader only.
    pub(crate) async fn add_member(&self, id: MemberId, node: PeerNode) -> Result<(), StoreError> {
        let refused = |e: String| StoreError::Membership(e);
        let addr = node.peer_addr.clone();
        let added = self.raft.add_learner(id, node, false).await;
        let index = added.map_err(|e| refused(e.to_string()))?.log_id.index;
        if !self.caught_up(id, index).await {
            // It must not count for the quorum, and a later try begins anew.
            self.remove_member(id, true).await?;
            return Err(refused(format!(
                "member {id} at {addr} does not catch up; check that it runs, that its certificate \
                 and cluster are right, and that this member reaches it"
            )));
        }
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.raft.change_membership(change, false).await.map_err(|e| refused(e.to_string()))?;
        Ok(())
    }

    /// Wait until a learner has the log up to `index`.
    async fn caught_up(&self, id: MemberId, index: u64) -> bool {
        let mut metrics = self.raft.metrics();
        let wait = async {
            loop {
                let matched = {
                    let metrics = metrics.borrow_watched();
                    let replication = metrics.replication.as_ref();
                    replication.and_then(|all| *all.get(&id)?).map(|log_id| log_id.index)
                };
                if matched >= Some(index) {
                    return true;
                }
                if metrics.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(CATCH_UP_TIMEOUT, wait).await.unwrap_or(false)
    }

    /// The newest snapshot's index.
    pub(crate) fn snapshot_index(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().snapshot.map(|id| id.index)
    }

    /// Take a snapshot now.
    pub(crate) async fn take_snapshot(&self) {
        if let Err(error) = self.raft.trigger().snapshot().await {
            tracing::warn!(%error, "cannot take a snapshot");
        }
    }

    /// Forget log entries up to `index` that a snapshot holds.
    pub(crate) async fn purge_log(&self, index: u64) {
        if let Err(error) = self.raft.trigger().purge_log(index).await {
            tracing::warn!(%error, "cannot shorten the log");
        }
    }

    /// Hand leadership to another voter. Leader only; returns before it has happened.
    pub(crate) async fn transfer_leader(&self, id: MemberId) -> Result<(), StoreError> {
        if !self.raft.voter_ids().any(|voter| voter == id) {
            return Err(StoreError::Membership(format!("member {id} is not a voter")));
        }
        let trigger = self.raft.trigger();
        trigger.transfer_leader(id).await.map_err(|e| StoreError::Storage(e.to_string()))
    }
}
