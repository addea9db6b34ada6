//! The one error type of the store.

use crate::{MemberId, Revision};

/// Why an operation of the store did not succeed.
///
/// Every variant says whether the write it answers may have happened: only
/// [`StoreError::UnknownOutcome`] leaves that open.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The fence of a transaction does not hold here. Nothing was written.
    #[error("this member does not lead in the fenced term (leader: {leader:?}, term: {term})")]
    NotLeader {
        /// The leader as known here, when one is known.
        leader: Option<MemberId>,
        /// The term as known here.
        term: u64,
    },
    /// No leader or no quorum within the time allowed. Nothing was written; trying again is safe.
    #[error("no quorum answers: {0}; check that a majority of the members runs and try again")]
    Unavailable(String),
    /// The write left this member and no answer came back: it may or may not have happened.
    /// Read the keys before deciding to write again.
    #[error("the outcome of the write is unknown: {0}; read the object before trying again")]
    UnknownOutcome(String),
    /// The history asked for is gone.
    #[error("revision {requested} was compacted, history begins at {compacted}; list again")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest revision that can still be read.
        compacted: Revision,
    },
    /// A revision that does not exist yet was asked for.
    #[error("revision {requested} is in the future, the store is at {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
        /// The newest revision here.
        current: Revision,
    },
    /// A queue is at its limit; try again after a moment.
    #[error("the store is overloaded: {0}; try again after a moment")]
    Overloaded(&'static str),
    /// A key, value or transaction exceeds a limit or is malformed. Nothing was written.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// The data directory cannot be used; the message says what to do.
    #[error("cannot open the data directory: {0}")]
    Open(String),
    /// The disk failed or holds something that makes no sense. The member must be restarted.
    #[error("storage failed: {0}; this member stops writing, restart it after looking at its disk")]
    Storage(String),
    /// A change of the membership was refused or failed.
    #[error("membership change failed: {0}")]
    Membership(String),
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}
