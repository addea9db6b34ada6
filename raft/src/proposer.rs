//! Gathers waiting commands into log entries and brings their answers back.
//!
//! What must hold: a command whose fate is not known is never proposed a second time.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    Limits, StoreError, codec,
    consensus::{Consensus, ProposeError, RETRY_PAUSE},
    net::{Peers, forward},
    state::State,
    types::{Answer, Applied},
};

/// Entries on their way at once: one is synced while the next is handed over, and what comes
/// meanwhile gathers. More would only make smaller entries, each of which costs every member work.
const IN_FLIGHT: usize = 2;

/// A command that waits for its answer.
pub(crate) struct Pending {
    pub(crate) command: Bytes,
    pub(crate) fence: Option<u64>,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// What the proposer works with.
pub(crate) struct Proposer {
    pub(crate) consensus: Consensus,
    pub(crate) state: Arc<State>,
    pub(crate) peers: Peers,
    pub(crate) limits: Limits,
}

impl Proposer {
    /// Serve the queue until it is closed.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Pending>) {
        let this = Arc::new(self);
        let slots = Arc::new(Semaphore::new(IN_FLIGHT));
        while let Some(first) = queue.recv().await {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let mut bytes = first.command.len();
            let mut batch = vec![first];
            while batch.len() < this.limits.batch_txns && bytes < this.limits.batch_bytes {
                let Ok(next) = queue.try_recv() else { break };
                bytes += next.command.len();
                batch.push(next);
            }
            let this = this.clone();
            tokio::spawn(async move {
                this.submit(batch).await;
                drop(slot);
            });
        }
    }

    /// Propose a batch here or at the leader; every command is answered.
    async fn submit(&self, mut batch: Vec<Pending>) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let late = || StoreError::Unavailable("no leader was found in time".into());
            batch = keep(batch, |p| p.deadline > now, late);
            let Some(deadline) = batch.iter().map(|p| p.deadline).min() else { return };
            let timeout = deadline.saturating_duration_since(now);
            match self.consensus.has_quorum(begun).await {
                Ok(true) => {}
                Ok(false) => continue,
                // Said now, while it is certain that nothing was written.
                Err(error) => return fail(batch, || error.clone()),
            }
            let sent = if self.consensus.leads() {
                let term = self.consensus.term();
                let refused = || self.not_leader();
                batch = keep(batch, |p| p.fence.is_none_or(|f| f == term), refused);
                if batch.is_empty() {
                    return;
                }
                let proposal = codec::encode_proposal(batch.iter().map(|p| &p.command));
                self.consensus.propose(proposal, timeout).await
            } else {
                // A fence asks for this member's leadership, so it never leaves this member.
                batch = keep(batch, |p| p.fence.is_none(), || self.not_leader());
                if batch.is_empty() {
                    return;
                }
                let proposal = codec::encode_proposal(batch.iter().map(|p| &p.command));
                match self.consensus.leader() {
                    Some((id, addr)) => {
                        let sent = forward(&self.peers, id, &addr, proposal, timeout).await;
                        if let Ok((_, index)) = &sent {
                            self.state.wait_applied(*index, timeout).await;
                        }
                        sent
                    }
                    None => Err(ProposeError::NotLeader),
                }
            };
            match sent {
                Ok((applied, _)) => return answer(batch, applied, || self.not_leader()),
                Err(ProposeError::NotLeader) => {
                    // Nothing was sent: a caller learns soon that there is no quorum.
                    let rest = self.limits.write_timeout.saturating_sub(self.limits.leader_timeout);
                    let soon = Instant::now() + rest;
                    batch = keep(batch, |p| p.deadline > soon, late);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(ProposeError::Unknown(text)) => {
                    return fail(batch, || StoreError::UnknownOutcome(text.clone()));
                }
                Err(ProposeError::Failed(text)) => {
                    return fail(batch, || StoreError::Storage(text.clone()));
                }
            }
        }
    }

    fn not_leader(&self) -> StoreError {
        let leader = self.consensus.leader().map(|(id, _)| id);
        StoreError::NotLeader { leader, term: self.consensus.term() }
    }
}

/// Keep what passes; answer the rest.
fn keep(
    batch: Vec<Pending>,
    mut pass: impl FnMut(&Pending) -> bool,
    error: impl Fn() -> StoreError,
) -> Vec<Pending> {
    let (kept, out): (Vec<_>, Vec<_>) = batch.into_iter().partition(|p| pass(p));
    fail(out, error);
    kept
}

// A reply whose receiver is gone belongs to a caller who stopped waiting.

fn fail(batch: Vec<Pending>, error: impl Fn() -> StoreError) {
    for pending in batch {
        pending.reply.send(Err(error())).ok();
    }
}

fn answer(batch: Vec<Pending>, applied: Applied, fenced: impl Fn() -> StoreError) {
    if applied.answers.len() != batch.len() {
        let text = "the answer does not fit the question";
        return fail(batch, || StoreError::UnknownOutcome(text.into()));
    }
    for (pending, answer) in batch.into_iter().zip(applied.answers) {
        let answer = match answer {
            Answer::Fenced => Err(fenced()),
            other => Ok(other),
        };
        pending.reply.send(answer).ok();
    }
}
