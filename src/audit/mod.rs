//! The audit log: who did what to which object, as one line of JSON per stage of a request, by the
//! same policy file and flags as kube-apiserver's log backend (in its `batch` mode: no request waits
//! for the disk). Nothing here knows HTTP; `api::audited` feeds it.

mod event;
mod file;
mod policy;
mod sink;

use std::path::PathBuf;

pub use event::{Body, Event, ObjectRef};
pub use file::Rotation;
pub use policy::{Level, Policy, Stage, Stages, Verdict};
pub use sink::{QUEUE_BYTES_MAX, QUEUE_EVENTS_MAX, Sink};

/// Where the policy is and where events go.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// The policy file; without it nothing is recorded.
    pub policy: Option<PathBuf>,
    /// The log file, or `-` for standard output; without it nothing is recorded.
    pub log: Option<PathBuf>,
    /// When the log is set aside and removed.
    pub rotation: Rotation,
}

/// Why no audit log can be kept.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy.
    #[error(transparent)]
    Policy(#[from] crate::settings_file::SettingsError),
    /// The log file.
    #[error("cannot write the audit log {path}: {source}")]
    Log {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A policy and the log it fills.
#[derive(Debug)]
pub struct AuditLog {
    /// What is recorded.
    pub policy: Policy,
    /// Where it goes.
    pub sink: Sink,
}

impl AuditLog {
    /// Opens the log a member was told to keep; `None` when it was told of none.
    ///
    /// # Errors
    /// When the policy is bad or the log cannot be written.
    pub fn open(config: &AuditConfig) -> Result<Option<Self>, AuditError> {
        // Read in any case: a bad policy must not wait for the day somebody adds a log path.
        let policy = config.policy.as_deref().map(Policy::load).transpose()?;
        let (policy, path) = match (policy, &config.log) {
            (Some(policy), Some(path)) => (policy, path),
            (None, None) => return Ok(None),
            (Some(_), None) => {
                tracing::warn!("--audit-policy-file without --audit-log-path: nothing is recorded");
                return Ok(None);
            }
            (None, Some(_)) => {
                tracing::warn!("--audit-log-path without --audit-policy-file: nothing is recorded");
                return Ok(None);
            }
        };
        let sink = Sink::open(path, config.rotation)
            .map_err(|source| AuditError::Log { path: path.display().to_string(), source })?;
        Ok(Some(Self { policy, sink }))
    }
}
