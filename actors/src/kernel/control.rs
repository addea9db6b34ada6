//! The control lane: orders that reach an actor before its mail, even while it is paused or full.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// How long a pause lasts when nothing is said: nobody need remember to end it.
pub const PAUSE_TIME: Duration = Duration::from_secs(60);
/// Longest pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(600);

/// What an operator may order an actor or supervisor to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Control {
    /// Keep mail, handle none; for [`PAUSE_TIME`], then go on.
    Pause,
    /// The same for a time of one's own, at most [`MAX_PAUSE`].
    PauseFor(Duration),
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

impl Control {
    /// As it stands in the audit.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pause | Self::PauseFor(_) => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::InjectPanic(_) => "panic",
        }
    }
}
