//! The membership: who belongs to the quorum, how it is changed, and how each member fares.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{ChangeMembers, async_runtime::watch::WatchReceiver as _};

use crate::{
    Member, MemberId, MemberReport, Store, StoreError,
    consensus::Consensus,
    net::{Admin, Peers, admin, ask_report},
    types::PeerNode,
};

/// How long a change of the membership may take, a new member's catching up included.
const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a planned change of leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often leadership is offered before giving up.
const TRANSFER_TRIES: usize = 3;
/// How often removing is tried while leadership moves.
const REMOVE_TRIES: usize = 5;
/// Pause between two such tries.
const REMOVE_PAUSE: Duration = Duration::from_millis(300);
/// How long a member may take to say how it fares.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a leader waits for enough members to answer before it refuses to remove one.
const ALIVE_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before it asks them again.
const ALIVE_PAUSE: Duration = Duration::from_millis(100);

impl Store {
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
                name: node.name.clone(),
                peer_addr: node.peer_addr.clone(),
                api_addr: node.api_addr.clone(),
                voter: voters.contains(id),
                leader: metrics.current_leader == Some(*id),
            })
            .collect()
    }

    /// Ask every member how it fares, all at once; who does not answer within two seconds is
    /// reported with the reason.
    pub async fn survey(&self) -> Vec<MemberReport> {
        let core = self.core();
        let ask = |member: Member| async move {
            let status = if member.id == core.cfg.member_id {
                Ok(core.status())
            } else {
                let asked =
                    ask_report(&core.peers, member.id, &member.peer_addr, REPORT_TIMEOUT).await;
                asked.map(|report| report.status)
            };
            MemberReport { member, status }
        };
        futures_util::future::join_all(self.members().await.into_iter().map(ask)).await
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
        let node = PeerNode {
            peer_addr: peer_addr.to_owned(),
            api_addr: api_addr.to_owned(),
            // The member tells it itself once it belongs.
            name: String::new(),
        };
        self.administer(Admin::Add { id, node }).await
    }

    /// Remove a member, on any member; a leader first hands its leadership over. Its id must
    /// never be used again. Unless `force` is set, a removal that would leave fewer living voters
    /// than a majority of the remaining ones is refused.
    ///
    /// # Errors
    /// [`StoreError::Membership`].
    pub async fn remove_member(&self, id: MemberId, force: bool) -> Result<(), StoreError> {
        let mut last = StoreError::Unavailable("no leader is known".into());
        for attempt in 0..REMOVE_TRIES {
            if attempt > 0 {
                tokio::time::sleep(REMOVE_PAUSE).await;
            }
            let members = self.members().await;
            if !members.iter().any(|m| m.id == id) {
                return Ok(());
            }
            let voters = members.iter().filter(|m| m.voter).count();
            let leads = members.iter().any(|m| m.id == id && m.leader);
            if leads && voters > 1 {
                last = match self.hand_over().await {
                    Ok(_) => continue,
                    Err(error) => error,
                };
                continue;
            }
            last = match self.administer(Admin::Remove { id, force }).await {
                Err(error @ StoreError::Unavailable(_)) => error,
                other => return other,
            };
        }
        Err(last)
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

    /// Hand leadership to whichever other voter is nearest to the leader's log; returns who.
    ///
    /// # Errors
    /// [`StoreError::Membership`] when no other voter answers or none takes over.
    pub async fn hand_over(&self) -> Result<MemberId, StoreError> {
        let leader = self.leadership().borrow().leader;
        let mut others: Vec<(u64, MemberId)> = self
            .survey()
            .await
            .into_iter()
            .filter(|m| m.member.voter && Some(m.member.id) != leader)
            // One that runs an older program answers nothing; it comes last.
            .map(|m| (m.status.map_or(0, |s| s.last_log_index.unwrap_or(0) + 1), m.member.id))
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        let mut last = StoreError::Membership("there is no other voter".into());
        for (_, id) in others {
            match self.transfer_leader(id).await {
                Ok(()) => return Ok(id),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) async fn administer(&self, change: Admin) -> Result<(), StoreError> {
        let core = self.core();
        let work = async {
            if core.consensus.leads() {
                return carry_out(&core.consensus, &core.peers, change).await;
            }
            let Some((leader, addr)) = core.consensus.leader() else {
                return Err(StoreError::Unavailable("no leader is known".into()));
            };
            admin(&core.peers, leader, &addr, &change, MEMBERSHIP_TIMEOUT).await
        };
        match tokio::time::timeout(MEMBERSHIP_TIMEOUT, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Membership(format!(
                "not done within {MEMBERSHIP_TIMEOUT:?}; check that the member runs and is reachable"
            ))),
        }
    }
}

/// Carry out a change here; only a leader can, but for a member that moved: it knows nobody but the
/// members it finds, so any of them passes its word on.
pub(crate) async fn carry_out(
    consensus: &Consensus,
    peers: &Peers,
    change: Admin,
) -> Result<(), StoreError> {
    match change {
        Admin::Add { id, node } => consensus.add_member(id, node).await,
        Admin::Remove { id, force } => consensus.remove_member(id, force).await,
        Admin::Transfer { id } => consensus.transfer_leader(id).await,
        Admin::Update { id, node } if consensus.leads() => consensus.update_member(id, node).await,
        Admin::Update { .. } => match consensus.leader() {
            Some((leader, addr)) => admin(peers, leader, &addr, &change, MEMBERSHIP_TIMEOUT).await,
            None => Err(StoreError::Unavailable("no leader is known".into())),
        },
    }
}

impl Consensus {
    /// Remove a voter or learner. Leader only. Unless `force` is set, refuses when too few of the
    /// remaining voters live to form a quorum.
    pub(crate) async fn remove_member(&self, id: MemberId, force: bool) -> Result<(), StoreError> {
        let refused = |text: String| Err(StoreError::Membership(text));
        let voters: BTreeSet<_> = self.raft.voter_ids().collect();
        let change = if voters.contains(&id) {
            if voters.len() == 1 {
                return refused("the last voter cannot be removed".into());
            }
            let rest: BTreeSet<_> = voters.iter().copied().filter(|voter| *voter != id).collect();
            let needed = rest.len() / 2 + 1;
            if !force && let Err(dead) = self.wait_alive(&rest, needed).await {
                return refused(format!(
                    "without member {id} a quorum needs {needed} of the remaining {} members, but \
                     {dead:?} cannot be reached: start them or remove them first, or pass --force \
                     and accept that no write succeeds until enough of them are back",
                    rest.len()
                ));
            }
            ChangeMembers::RemoveVoters(BTreeSet::from([id]))
        } else if self.raft.learner_ids().any(|learner| learner == id) {
            ChangeMembers::RemoveNodes(BTreeSet::from([id]))
        } else {
            return Ok(());
        };
        let changed = self.raft.change_membership(change, false).await;
        changed.map_err(|e| StoreError::Membership(e.to_string()))?;
        Ok(())
    }

    /// Wait until `needed` of these voters follow this leader; else which do not. They are asked:
    /// one that answered a moment ago may be dead, and a membership that needs it could never be
    /// committed.
    async fn wait_alive(
        &self,
        voters: &BTreeSet<MemberId>,
        needed: usize,
    ) -> Result<(), Vec<MemberId>> {
        let begin = std::time::Instant::now();
        loop {
            let alive = match self.leading().await {
                Ok(leading) => self.followers(&leading, voters).await,
                Err(_) => BTreeSet::new(),
            };
            let dead: Vec<_> = voters.difference(&alive).copied().collect();
            if voters.len() - dead.len() >= needed {
                return Ok(());
            }
            if begin.elapsed() >= ALIVE_PATIENCE {
                return Err(dead);
            }
            // Connections to a member that just started may still be on their way.
            tokio::time::sleep(ALIVE_PAUSE).await;
        }
    }

    /// Change what the membership says of a member. Leader only.
    async fn update_member(&self, id: MemberId, node: PeerNode) -> Result<(), StoreError> {
        let known = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.get_node(&id).cloned()
        };
        match known {
            None => Err(StoreError::Membership(format!("member {id} is not known"))),
            Some(known) if known == node => Ok(()),
            Some(_) => {
                let change = ChangeMembers::SetNodes(BTreeMap::from([(id, node)]));
                let changed = self.raft.change_membership(change, true).await;
                changed.map_err(|e| StoreError::Membership(e.to_string()))?;
                Ok(())
            }
        }
    }
}
