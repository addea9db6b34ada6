//! openraft's view of the state.

use std::{io, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use openraft::{
    OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{EntryResponder, RaftStateMachine},
};

use super::{SnapshotDir, State, apply::Pass, snapshot};
use crate::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// Entries that become visible (and are answered) together at most.
const PASS_ENTRIES: usize = 64;
/// Bytes that become visible together at most, give or take one entry.
const PASS_BYTES: usize = 4 * 1024 * 1024;

/// A handle of the state for openraft.
#[derive(Debug, Clone)]
pub(crate) struct StateMachine {
    pub(crate) state: Arc<State>,
}

/// Takes snapshots beside the running state.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    state: Arc<State>,
}

type Snap = Snapshot<
    openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>,
    u64,
    crate::types::PeerNode,
    Arc<SnapshotDir>,
>;

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Arc<SnapshotDir>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.state.db().applied()?;
        Ok((applied, self.state.membership.lock().clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut more = true;
        while more {
            // The stream reads the log; the gate is closed only while the state moves.
            let mut gathered = Vec::new();
            let mut bytes = 0;
            while gathered.len() < PASS_ENTRIES && bytes < PASS_BYTES {
                let Some(item) = entries.next().await else {
                    more = false;
                    break;
                };
                let item = item?;
                if let openraft::EntryPayload::Normal(proposal) = &item.0.payload {
                    bytes += proposal.0.len();
                }
                gathered.push(item);
            }
            if gathered.is_empty() {
                break;
            }
            let gate = self.state.gate.lock().await;
            let mut answers = Vec::with_capacity(gathered.len());
            let mut pass = Pass::new(&self.state);
            for (entry, responder) in gathered {
                answers.push((responder, pass.entry(&entry)?));
            }
            self.state.publish(pass)?;
            drop(gate);
            for (responder, answer) in answers {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { state: self.state.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Arc<SnapshotDir>,
    ) -> io::Result<()> {
        let (state, meta) = (self.state.clone(), meta.clone());
        blocking(move || snapshot::install(&state, &meta, &snapshot)).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snap>> {
        let dir = self.state.snapshot.lock().clone();
        Ok(dir.map(|dir| Snapshot { meta: dir.meta().clone(), snapshot: dir }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Arc<SnapshotDir>;

    async fn build_snapshot(&mut self) -> io::Result<Snap> {
        let state = self.state.clone();
        let dir = blocking(move || snapshot::build(&state)).await?;
        Ok(Snapshot { meta: dir.meta().clone(), snapshot: dir })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
