//! Whether this member still belongs to its cluster, and under which address.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::time::Instant;

use crate::{
    MemberId, Store, StoreError,
    consensus::Consensus,
    home,
    net::{Admin, Peers, Report, admin, ask_report},
};

/// How often a member looks whether it still belongs to the cluster.
const LOOK: Duration = Duration::from_millis(500);
/// How often it asks the others: a removed member is told nothing any more, and may go on to believe
/// in the last leader it knew.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// How long another member may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long telling an address may take, and the pause before it is told again.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Keep the connections' address book in step with the membership.
pub(crate) async fn follow_addresses(consensus: Consensus, peers: Peers) {
    let mut metrics = consensus.raft.metrics();
    let mut last = None;
    loop {
        let known = {
            let metrics = metrics.borrow_watched();
            let changed = last != *metrics.membership_config.log_id();
            last = *metrics.membership_config.log_id();
            let nodes = metrics.membership_config.nodes();
            changed.then(|| nodes.map(|(id, node)| (*id, node.peer_addr.clone())).collect())
        };
        if let Some(known) = known {
            peers.learn(known);
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

impl Store {
    /// Tell the cluster this member's name and addresses if it knows others; returns once it knows
    /// them. A member may thus move to another address while it is stopped, as long as it still
    /// finds one of the others where it left them.
    pub async fn announce(&self) {
        let core = self.core();
        let mine = core.node();
        while !core.stop.is_cancelled() {
            let (known, others) = self.known_of(core.cfg.member_id);
            if known.as_ref() == Some(&mine) {
                return;
            }
            if known.is_some()
                && let Err(error) = self.tell(&others).await
            {
                tracing::debug!(%error, "the cluster does not know this member's address yet");
            }
            tokio::time::sleep(TELL_PAUSE).await;
        }
    }

    async fn tell(&self, others: &[(MemberId, String)]) -> Result<(), StoreError> {
        let core = self.core();
        let change = Admin::Update { id: core.cfg.member_id, node: core.node() };
        // Whoever leads cannot reach a member that moved, so this member may know no leader.
        let mut last = match self.administer(change.clone()).await {
            Err(error @ StoreError::Unavailable(_)) => error,
            other => return other,
        };
        for (id, addr) in others {
            match admin(&core.peers, *id, addr, &change, TELL_TIMEOUT).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What the newest membership on this member's disk says of it, and who else is in it.
    fn known_of(&self, id: MemberId) -> (Option<crate::types::PeerNode>, Vec<(MemberId, String)>) {
        let metrics = self.core().consensus.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        let others = membership.nodes().filter(|(other, _)| **other != id);
        (
            membership.get_node(&id).cloned(),
            others.map(|(other, node)| (*other, node.peer_addr.clone())).collect(),
        )
    }

    /// Returns when this member was removed from its cluster; for one that belongs to it. Its
    /// directory is marked then, and cannot be opened again.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub async fn until_removed(&self) -> Result<(), StoreError> {
        let core = self.core();
        let id = core.cfg.member_id;
        let mut belonged = false;
        let mut asked = Instant::now();
        loop {
            let mine = core.report();
            let belongs = mine.members.contains(&id);
            if belonged && !belongs {
                break;
            }
            belonged |= belongs;
            // Who leads knows best.
            let leads = self.leadership().borrow().is_local;
            if !leads && asked.elapsed() >= ASK_EVERY {
                if self.removed_elsewhere(&mine).await {
                    break;
                }
                asked = Instant::now();
            }
            tokio::time::sleep(LOOK).await;
        }
        home::mark_removed(&core.cfg.data_dir)
    }

    /// Whether another member applied a newer membership, and this member is not in it.
    async fn removed_elsewhere(&self, mine: &Report) -> bool {
        let core = self.core();
        let (_, others) = self.known_of(core.cfg.member_id);
        for (id, addr) in others {
            let Ok(theirs) = ask_report(&core.peers, id, &addr, ASK_TIMEOUT).await else {
                continue;
            };
            if theirs.membership_index > mine.membership_index
                && !theirs.members.contains(&core.cfg.member_id)
            {
                return true;
            }
        }
        false
    }
}
