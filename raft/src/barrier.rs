//! Read barriers: all that wait share one question to the leader.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Fault, Faults, Revision, StoreError,
    consensus::{Consensus, ProposeError, RETRY_PAUSE},
    net::{Peers, ask_read_index},
    state::State,
};

/// How long one question may take before it is asked again, perhaps of another leader.
const TRY: Duration = Duration::from_secs(1);
/// Readers gathered into one round at most.
const ROUND: usize = 4096;

/// A reader that waits.
pub(crate) type Waiting = oneshot::Sender<Result<Revision, StoreError>>;

/// What barriers need.
pub(crate) struct Barrier {
    pub(crate) consensus: Consensus,
    pub(crate) state: Arc<State>,
    pub(crate) peers: Peers,
    pub(crate) timeout: Duration,
    pub(crate) faults: Faults,
}

impl Barrier {
    /// Serve the queue until it is closed. A reader joins the round that begins after it came:
    /// an index learned earlier would not cover writes answered in between.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        while let Some(first) = queue.recv().await {
            let mut round = vec![first];
            while round.len() < ROUND {
                let Ok(next) = queue.try_recv() else { break };
                round.push(next);
            }
            let result = self.round().await;
            for waiting in round {
                // Gone when the reader stopped waiting.
                waiting.send(result.clone()).ok();
            }
        }
    }

    async fn round(&self) -> Result<Revision, StoreError> {
        if self.faults.on(Fault::StaleReads) {
            return Ok(self.state.revision());
        }
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Unavailable("no leader confirmed a read in time".into()));
            }
            if !self.consensus.has_quorum(begun).await? {
                continue;
            }
            let patience = left.min(TRY);
            let asked = if self.consensus.leads() {
                match tokio::time::timeout(patience, self.consensus.read_index()).await {
                    Ok(index) => index,
                    Err(_) => Err(ProposeError::NotLeader),
                }
            } else {
                match self.consensus.leader() {
                    Some((id, addr)) => ask_read_index(&self.peers, id, &addr, patience).await,
                    None => Err(ProposeError::NotLeader),
                }
            };
            match asked {
                Ok(index) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if self.state.wait_applied(index, left).await {
                        return Ok(self.state.revision());
                    }
                }
                Err(ProposeError::Failed(text)) => return Err(StoreError::Storage(text)),
                // Asking again is always safe: a read changes nothing.
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }
}
