//! The control lane: orders that reach an actor before its mail, even while it is paused or full.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What an operator may order an actor or supervisor to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Control {
    /// Keep mail, handle none.
    Pause,
    /// Go on handling mail.
    Resume,
    /// Stop in order and begin again with fresh state; address and mail stay.
    Restart,
    /// Stop in order and end; not restarted.
    Stop,
    /// End without calling `stopping` or `stopped`.
    Kill,
    /// Panic inside the actor, as a handler would: for drills.
    InjectPanic(String),
}

/// Orders the kernel itself sends.
#[derive(Debug)]
pub(crate) enum Command {
    User(Control),
    /// Stop in order, keep address and mail, wait for `Launch`.
    Halt(oneshot::Sender<()>),
    /// Start with fresh state after `Halt` or a failure; answers whether it came up.
    Launch(Option<oneshot::Sender<bool>>),
    /// The state as JSON.
    Inspect(oneshot::Sender<serde_json::Value>),
    /// The children under this actor failed too often.
    ChildrenFailed(String),
}
