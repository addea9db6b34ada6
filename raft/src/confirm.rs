//! Whether a quorum still follows this leader, asked anew for every round of reads.
//!
//! openraft 0.10.0-alpha.37 is not asked: it takes the answer to one message of entries also for an
//! answer to a later message without entries that ends at the same entry, so a leader that wakes up
//! after a pause, with old answers still in its sockets, takes itself for confirmed and reads what
//! its successor has changed long ago.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    MemberId,
    consensus::{Consensus, ProposeError},
    net::still_follows,
    types::Vote,
};

/// How long a quorum may take to answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// Something in which this member may lead: its vote, and who decides on it.
pub(crate) struct Leading {
    vote: Vote,
    /// Each of these sets must have a majority; two while the membership changes.
    quorums: Vec<BTreeSet<MemberId>>,
}

/// Whether each set of voters has a majority of those who granted.
fn majority(quorums: &[BTreeSet<MemberId>], granted: &BTreeSet<MemberId>) -> bool {
    quorums.iter().all(|voters| voters.intersection(granted).count() > voters.len() / 2)
}

impl Consensus {
    /// This member's vote and the voters, as consensus itself sees them now.
    pub(crate) async fn leading(&self) -> Result<Leading, ProposeError> {
        let read = self.raft.with_raft_state(|state| Leading {
            vote: *state.vote_ref(),
            quorums: state.membership_state.effective().membership().get_joint_config().clone(),
        });
        read.await.map_err(|fatal| ProposeError::Failed(fatal.to_string()))
    }

    /// Ask the voters whether any of them follows somebody later. A majority that does not proves
    /// that nobody led later when this was called.
    pub(crate) async fn confirm(&self, leading: &Leading) -> Result<(), ProposeError> {
        if !leading.vote.committed {
            // It only stood for election then.
            return Err(ProposeError::NotLeader);
        }
        let mut granted = BTreeSet::from([self.member_id]);
        if majority(&leading.quorums, &granted) {
            return Ok(());
        }
        let voters: BTreeSet<_> = leading.quorums.iter().flatten().copied().collect();
        let mut asked = self.ask(leading.vote, &voters);
        while let Some(answer) = asked.next().await {
            granted.extend(answer);
            if majority(&leading.quorums, &granted) {
                return Ok(());
            }
        }
        Err(ProposeError::NotLeader)
    }

    /// Which of these members follow this leader, asked of them now; itself always does.
    pub(crate) async fn followers(
        &self,
        leading: &Leading,
        members: &BTreeSet<MemberId>,
    ) -> BTreeSet<MemberId> {
        let answers: Vec<_> = self.ask(leading.vote, members).collect().await;
        answers.into_iter().flatten().chain([self.member_id]).collect()
    }

    /// Ask each of these members but this one whether it follows nobody later: who does not is
    /// left out of the answers.
    fn ask(
        &self,
        vote: Vote,
        members: &BTreeSet<MemberId>,
    ) -> FuturesUnordered<impl Future<Output = Option<MemberId>>> {
        let others = members.iter().copied().filter(|id| *id != self.member_id);
        others
            .map(|id| async move {
                let addr = self.address(id)?;
                let followed = still_follows(&self.peers, (id, &addr), vote, CONFIRM_TIMEOUT);
                followed.await.then_some(id)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_voters_needs_a_majority() {
        let cases = [
            (vec![vec![1]], vec![1], true),
            (vec![vec![1, 2]], vec![1], false),
            (vec![vec![1, 2, 3]], vec![1], false),
            (vec![vec![1, 2, 3]], vec![1, 3], true),
            (vec![vec![1, 2, 3], vec![1, 4, 5]], vec![1, 2], false),
            (vec![vec![1, 2, 3], vec![1, 4, 5]], vec![1, 2, 5], true),
            // A leader that is removed does not count for the new voters.
            (vec![vec![2, 3, 4]], vec![1, 2], false),
        ];
        for (quorums, granted, confirmed) in cases {
            let quorums: Vec<BTreeSet<u64>> =
                quorums.into_iter().map(|voters| voters.into_iter().collect()).collect();
            let granted = granted.into_iter().collect();
            assert_eq!(majority(&quorums, &granted), confirmed, "{granted:?}");
        }
    }
}
