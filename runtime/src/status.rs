//! What the runtime answers: state of pods and containers, events, results of commands.

use std::{collections::BTreeMap, path::PathBuf, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::spec::PodSandboxSpec;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, its process waits for start.
    Created,
    /// Runs.
    Running,
    /// Ended; `exit` is set.
    Exited,
}

impl std::fmt::Display for ContainerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
        })
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128+signal when ended by a signal.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed it for memory (reason `OOMKilled`).
    pub oom: bool,
    /// When it ended.
    pub at: SystemTime,
    /// The shim was lost and the container killed (code 137): how it would have ended is not known.
    pub lost: bool,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Id given in the specification.
    pub id: String,
    /// Container name.
    pub name: String,
    /// Restart count given in the specification.
    pub attempt: u32,
    /// State.
    pub state: ContainerState,
    /// Process id on the host, while created or running.
    pub pid: Option<i32>,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was started.
    pub started_at: Option<SystemTime>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Reference it was made from.
    pub image: String,
    /// Image id (`sha256:…` of its configuration).
    pub image_id: String,
    /// Absolute path of its log.
    pub log_path: PathBuf,
    /// Caller's data.
    pub annotations: BTreeMap<String, String>,
}

/// One pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PodStatus {
    /// What the pod was created from.
    pub sandbox: PodSandboxSpec,
    /// Its containers, oldest first.
    pub containers: Vec<ContainerStatus>,
    /// The shim is gone: containers were ended, only `destroy` is left to do.
    pub shim_lost: bool,
    /// When the sandbox was made.
    pub created_at: SystemTime,
}

/// Something that happened in a pod. Delivered at least once; after a daemon restart exits that were
/// not seen are delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodEvent {
    /// A container was started.
    Started {
        /// Container id.
        id: String,
    },
    /// A container ended.
    Exited {
        /// Container id.
        id: String,
        /// How.
        exit: Exit,
    },
    /// The shim is gone; every container was killed and counts as exited with 137. Destroy the pod.
    ShimLost,
}

/// Result of a command run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    /// Exit code; 128+signal when ended by a signal.
    pub code: i32,
    /// Standard output, at most [`crate::pod::EXEC_OUTPUT_LIMIT`] bytes.
    #[serde(with = "base64_bytes")]
    pub stdout: Vec<u8>,
    /// Standard error, at most [`crate::pod::EXEC_OUTPUT_LIMIT`] bytes.
    #[serde(with = "base64_bytes")]
    pub stderr: Vec<u8>,
    /// Output beyond the limit was dropped.
    pub truncated: bool,
    /// The command was killed since its time was over.
    pub timed_out: bool,
}

/// Use of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time used since the start, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use, caches included, in bytes.
    pub memory_bytes: u64,
    /// Memory that cannot be reclaimed easily (usage minus inactive file cache), in bytes.
    pub working_set_bytes: u64,
    /// Tasks.
    pub pids: u64,
}

/// Bytes as base64 text: a JSON array of numbers would be four times as long.
mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
