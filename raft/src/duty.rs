//! What a member does by itself: tell who leads, and compact old history while it leads.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Leadership, Limits, Revision, Timers, codec, consensus::Consensus, log::LogStore,
    proposer::Pending, state::State,
};

/// How often a member looks who leads, and a leader whether a quorum still answers it.
const QUORUM_CHECK: Duration = Duration::from_millis(200);

/// How often the size of the log is looked at.
const LOG_CHECK: Duration = Duration::from_millis(500);
/// Entries kept when the log is cut for its bytes, so that a follower a moment behind needs no
/// snapshot.
const LOG_KEPT: u64 = 100;

/// Keep `leadership` true until consensus ends.
pub(crate) async fn follow_leadership(
    consensus: Consensus,
    state: Arc<State>,
    timers: Timers,
    leadership: watch::Sender<Leadership>,
) {
    let mut server = consensus.raft.server_metrics();
    let mut applied = state.watch_applied();
    // A leader that no quorum has answered for this long has been replaced, or will be.
    let patience = timers.election_max * 2;
    loop {
        let now = current(&consensus, &state, patience);
        let waits = now.leader.is_some() && !now.is_local && consensus.leads();
        leadership.send_if_modified(|old| std::mem::replace(old, now) != now);
        tokio::select! {
            changed = server.changed() => if changed.is_err() { break },
            // Only the first entries of a term matter here; later ones need not wake this task.
            _ = applied.changed(), if waits => {}
            // What is read above may be published a moment after the change that wakes this task:
            // without looking again a member might never hear of its leader.
            () = tokio::time::sleep(QUORUM_CHECK), if now.leader.is_none() || !consensus.is_alone() => {}
        }
    }
    leadership.send_modify(|l| *l = Leadership { term: l.term, ..Leadership::default() });
}

fn current(consensus: &Consensus, state: &State, patience: Duration) -> Leadership {
    let term = consensus.term();
    let leader = consensus.leader().map(|(id, _)| id);
    // The first entry of a term is the leader's own: once it is applied, so is everything of
    // earlier terms.
    let caught_up = consensus.leads() && state.applied().term == term;
    let quorum = consensus.is_alone() || consensus.quorum_age().is_some_and(|age| age < patience);
    Leadership { term, leader, is_local: caught_up && quorum }
}

/// While this member leads, propose to compact what is old or too much.
pub(crate) async fn compact_forever(
    state: Arc<State>,
    limits: Limits,
    leadership: watch::Receiver<Leadership>,
    queue: mpsc::Sender<Pending>,
) {
    let mut seen: VecDeque<(Instant, Revision)> = VecDeque::new();
    loop {
        tokio::time::sleep(limits.compact_every).await;
        if state.is_closed() {
            return;
        }
        seen.push_back((Instant::now(), state.revision()));
        let target = target(&mut seen, &limits, state.revision(), Instant::now());
        if !leadership.borrow().is_local || target <= state.compacted() {
            continue;
        }
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            command: codec::encode_compact(target),
            fence: None,
            deadline: Instant::now() + limits.write_timeout,
            reply,
        };
        if queue.send(pending).await.is_err() {
            return;
        }
        match answer.await {
            Ok(Ok(_)) => tracing::debug!(target, "compacted history"),
            // Tried again at the next turn.
            other => tracing::debug!(?other, "history was not compacted"),
        }
    }
}

/// Take a snapshot and shorten the log when its bytes, not its entries, grow large.
pub(crate) async fn bound_log(consensus: Consensus, log: LogStore, limit: u64) {
    let mut mark = 0;
    let mut awaited: Option<Option<u64>> = None;
    loop {
        tokio::time::sleep(LOG_CHECK).await;
        let newest = consensus.snapshot_index();
        if let Some(before) = awaited
            && newest > before
        {
            awaited = None;
            consensus.purge_log(newest.unwrap_or(0).saturating_sub(LOG_KEPT)).await;
        }
        let written = log.written();
        if awaited.is_none() && written - mark >= limit {
            mark = written;
            awaited = Some(newest);
            consensus.take_snapshot().await;
        }
    }
}

/// Up to which revision history may go: what is older than the kept age, or beyond the kept
/// count. Forgets samples that are not needed any more.
fn target(
    seen: &mut VecDeque<(Instant, Revision)>,
    limits: &Limits,
    revision: Revision,
    now: Instant,
) -> Revision {
    let mut old = 0;
    while let Some((at, then)) = seen.front()
        && now.duration_since(*at) >= limits.history_age
    {
        old = *then;
        seen.pop_front();
    }
    old.max(revision.saturating_sub(limits.history_revisions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_count_bound_history() {
        let limits = Limits {
            history_age: Duration::from_secs(300),
            history_revisions: 1000,
            ..Limits::default()
        };
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let cases = [
            (vec![(0, 10)], 20, 100, 0),
            (vec![(0, 10), (60, 50)], 60, 310, 10),
            (vec![(0, 10), (60, 50)], 60, 400, 50),
            (vec![(0, 10)], 5000, 10, 4000),
        ];
        for (samples, revision, now, expected) in cases {
            let mut seen = samples.into_iter().map(|(s, r)| (at(s), r)).collect();
            assert_eq!(target(&mut seen, &limits, revision, at(now)), expected);
        }
    }
}
