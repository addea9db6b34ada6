//! Errors of the node link.

use std::io;

/// Why a stream to a node could not be had, or a session ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No session of that node is registered here.
    #[error("node {0} is not connected to this member; check that its daemon runs and reaches it")]
    NotConnected(String),
    /// The session ended while the stream was being opened or read.
    #[error("the link to the node was lost: {0}")]
    Lost(String),
    /// The peer did not answer in time.
    #[error("node {node} did not answer within {seconds} s")]
    Timeout {
        /// Name of the node asked.
        node: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The node understood the request and said no; fields are those of a Kubernetes Status.
    #[error("{message}")]
    Refused {
        /// HTTP status code to answer with.
        code: u16,
        /// Status reason, for example `BadRequest`.
        reason: String,
        /// Text for a human.
        message: String,
    },
    /// The peer speaks another version or sends nonsense.
    #[error("link protocol error: {0}")]
    Protocol(String),
    /// An operating system error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The API client could not be made from its certificates.
    #[error("cannot make the API client: {0}")]
    Client(String),
}

impl From<yamux::ConnectionError> for LinkError {
    fn from(error: yamux::ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}
