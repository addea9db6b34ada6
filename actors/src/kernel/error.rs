//! Why a message did not arrive or an answer did not come.

use std::fmt;

/// `tell` did not deliver; the message comes back.
#[derive(thiserror::Error)]
pub enum SendError<M> {
    /// The mailbox holds as many letters as it may: slow down, or use `tell_or_wait`.
    #[error("the mailbox is full")]
    Full(M),
    /// The actor has ended and will not come back under this address.
    #[error("the actor has ended")]
    Closed(M),
}

impl<M> SendError<M> {
    /// The message that was not delivered.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(m) | Self::Closed(m) => m,
        }
    }
}

impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "SendError::Full",
            Self::Closed(_) => "SendError::Closed",
        })
    }
}

/// `ask` got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No place in the mailbox became free within the timeout.
    #[error("the mailbox stayed full until the timeout")]
    Full,
    /// The actor has ended.
    #[error("the actor has ended")]
    Closed,
    /// The actor was restarted while the answer was being made; asking again is safe for reads.
    #[error("the actor was restarted before it answered")]
    Restarting,
    /// No answer in time. The question may still be handled or skipped.
    #[error("no answer within the timeout")]
    Timeout,
    /// Handling the question made the actor panic.
    #[error("the actor panicked while answering")]
    Panicked,
}

/// Why the kernel could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// `Kernel::new` outside a tokio runtime and without a pool in its configuration.
    #[error("no tokio runtime here: call from inside one or set KernelConfig::pool")]
    NoRuntime,
    /// An arbiter thread did not start.
    #[error("cannot start an actor thread: {0}")]
    Thread(String),
    /// No actor or supervisor has that path.
    #[error("no actor at {0}; see the tree for paths")]
    NotFound(String),
    /// The control lane holds too many orders already.
    #[error("the control lane of {0} is full; it does not get to its orders")]
    Busy(String),
    /// As many traces run as may.
    #[error("{0} traces run already; wait for one to end")]
    TooManyTraces(usize),
    /// The order makes sense for actors only.
    #[error("{0} is a supervisor: only restart and stop apply")]
    NotAnActor(String),
}
