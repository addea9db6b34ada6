//! Following one kind: its state, then its changes, and its state again when history was lost.

use std::{sync::Arc, time::Duration};

use actix::{Handler, Message};
use kabuki_api::kind::Kind;
use kabuki_raft::{Event, EventKind, Record, StoreError};

use super::controller::Change;
use crate::{
    kernel::{ActorRef, Performer},
    registry::{Object, Registry},
};

/// Objects in one message of the initial state.
const CHUNK: usize = 1000;
/// Wait before a watch that failed other than by compaction is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Changes of one kind, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Feed {
    pub kind: &'static Kind,
    pub changes: Vec<Change>,
    /// Whether this is part of the full state rather than what happened since.
    pub state: bool,
    /// The first message of a full state: what was known of the kind before is void.
    pub begins: bool,
    /// The last message of a full state.
    pub ends: bool,
}

/// Sends the state of `kind` and then every change to `to`, until `to` ends or the task is dropped.
pub(crate) async fn follow<A>(registry: Registry, kind: &'static Kind, to: ActorRef<A>)
where
    A: Performer + Handler<Feed>,
{
    loop {
        let prefix = kind.prefix(None);
        let page = registry.store().list(&prefix, None, 0);
        if !send_state(kind, &page.records, &to).await {
            return;
        }
        let mut watch = match registry.store().watch(&prefix, page.revision) {
            Ok(watch) => watch,
            Err(error) => {
                pause(kind, &error).await;
                continue;
            }
        };
        loop {
            match registry.next(&mut watch).await {
                Ok(events) => {
                    let changes = events.iter().map(|event| change(kind, event)).collect();
                    let feed = Feed { kind, changes, state: false, begins: false, ends: false };
                    if to.tell_or_wait(feed).await.is_err() {
                        return;
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    pause(kind, &error).await;
                    break;
                }
            }
        }
    }
}

async fn pause(kind: &Kind, error: &StoreError) {
    // Falling behind what is kept is normal under load: read the state again at once.
    if !matches!(error, StoreError::Compacted { .. }) {
        tracing::warn!(kind = kind.kind, %error, "watch of a control actor failed, trying again");
        tokio::time::sleep(RETRY).await;
    }
}

async fn send_state<A>(kind: &'static Kind, records: &[Arc<Record>], to: &ActorRef<A>) -> bool
where
    A: Performer + Handler<Feed>,
{
    let total = records.len().div_ceil(CHUNK).max(1);
    for number in 0..total {
        let chunk = records.iter().skip(number * CHUNK).take(CHUNK);
        let changes = chunk
            .map(|record| Change {
                object: Arc::new(Object::new(kind, Arc::clone(record))),
                previous: None,
                gone: false,
            })
            .collect();
        let feed =
            Feed { kind, changes, state: true, begins: number == 0, ends: number + 1 == total };
        if to.tell_or_wait(feed).await.is_err() {
            return false;
        }
    }
    true
}

fn change(kind: &'static Kind, event: &Event) -> Change {
    let object = |record: &Arc<Record>| Arc::new(Object::new(kind, Arc::clone(record)));
    Change {
        object: object(&event.record),
        previous: event.previous.as_ref().map(object),
        gone: event.kind == EventKind::Delete,
    }
}
