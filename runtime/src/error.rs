//! The one error type of this crate.

use std::{io, path::PathBuf, time::Duration};

/// What can go wrong on a node. Messages are lowercase and say what to do next where there is
/// something to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be used.
    #[error("{what} {path}: {source}")]
    File {
        /// What was attempted, as a verb phrase ("cannot read").
        what: &'static str,
        /// The path in question.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A system call without a path failed.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller's specification cannot be carried out.
    #[error("invalid specification: {0}")]
    Invalid(String),
    /// The feature is known and deliberately not offered.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// No such pod, container or image.
    #[error("{0} not found")]
    NotFound(String),
    /// It exists already.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// It is still needed by something.
    #[error("{0}")]
    InUse(String),
    /// The reference is not a valid image name (kubelet reason `InvalidImageName`).
    #[error("invalid image name {reference:?}: {reason}")]
    ImageName {
        /// What was asked for.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry did not give the image (kubelet reason `ErrImagePull`).
    #[error("failed to pull image {reference:?}: {reason}")]
    Pull {
        /// What was asked for.
        reference: String,
        /// The registry's or the check's words.
        reason: String,
    },
    /// An image, layer or archive is malformed or beyond a limit.
    #[error("bad image content: {0}")]
    ImageContent(String),
    /// The container could not be created (kubelet reason `CreateContainerError`).
    #[error("failed to create container: {0}")]
    Create(String),
    /// The container could not be started (kubelet reason `RunContainerError`).
    #[error("failed to start container: {0}")]
    Start(String),
    /// The command in a container could not be run.
    #[error("failed to exec in container: {0}")]
    Exec(String),
    /// The call is not possible in the container's present state.
    #[error("container {id} is {state}: {why}")]
    State {
        /// Container id.
        id: String,
        /// Its state.
        state: String,
        /// What was wanted.
        why: String,
    },
    /// The shim did not answer in time.
    #[error("no answer within {after:?} to {what}")]
    Timeout {
        /// What was asked.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The shim process is gone; its containers were ended and must be replaced.
    #[error("the shim of pod {0} is gone; its containers have to be replaced")]
    ShimLost(String),
    /// The bytes on the shim's socket or in its files make no sense.
    #[error("shim protocol: {0}")]
    Protocol(String),
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
