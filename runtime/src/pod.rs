//! The daemon's handle on one pod: asynchronous calls over the shim's socket.

use std::{path::PathBuf, time::Duration};

use tokio::sync::mpsc;

use crate::{
    error::{Error, Result},
    spec::ContainerSpec,
    status::{ExecResult, PodEvent, PodStatus, Usage},
};

/// Most bytes of standard output, and of standard error, an exec gives back.
pub const EXEC_OUTPUT_LIMIT: usize = 1024 * 1024;

/// A pod on this node. Cheap to clone; dropping it ends nothing.
#[derive(Debug, Clone)]
pub struct Pod;

impl Pod {
    /// The pod's uid.
    pub fn uid(&self) -> &str {
        ""
    }

    /// The pod's network namespace (a bind-mounted file), `None` with the host's network.
    pub fn netns(&self) -> Option<PathBuf> {
        None
    }

    /// The pod's log directory (`<log_root>/<namespace>_<name>_<uid>`).
    pub fn log_dir(&self) -> PathBuf {
        PathBuf::new()
    }

    /// Writes the /etc/hosts that every container sees (also those already running).
    pub async fn set_hosts(&self, _text: &str) -> Result<()> {
        unsupported()
    }

    /// Makes a container: root filesystem, cgroup, process waiting to be started.
    pub async fn create_container(&self, _spec: ContainerSpec) -> Result<()> {
        unsupported()
    }

    /// Lets a created container run.
    pub async fn start(&self, _id: &str) -> Result<()> {
        unsupported()
    }

    /// Sends `signal` (the image's stop signal when `None`) and SIGKILL after `grace`; answers as
    /// soon as the signal is sent. The shim holds the deadline: it counts even if this daemon dies.
    /// A later call can shorten the deadline, never lengthen it.
    pub async fn stop(&self, _id: &str, _signal: Option<i32>, _grace: Duration) -> Result<()> {
        unsupported()
    }

    /// Removes an exited (or never started) container with its writable layer and logs.
    pub async fn remove_container(&self, _id: &str) -> Result<()> {
        unsupported()
    }

    /// Runs a command in a running container with the container's environment, user and limits.
    /// A command that cannot be found is [`Error::Exec`]; a timeout is answered in the result.
    pub async fn exec(
        &self,
        _id: &str,
        _command: &[String],
        _timeout: Duration,
    ) -> Result<ExecResult> {
        unsupported()
    }

    /// State of the pod and its containers.
    pub async fn status(&self) -> Result<PodStatus> {
        unsupported()
    }

    /// Events since the daemon last saw this pod. The stream can be taken once.
    pub fn events(&self) -> Option<mpsc::Receiver<PodEvent>> {
        None
    }

    /// CPU and memory of the pod, or of one container.
    pub async fn usage(&self, _id: Option<&str>) -> Result<Usage> {
        unsupported()
    }

    /// Ends what runs and removes everything: cgroups, mounts, namespaces, directories, logs.
    pub async fn destroy(&self) -> Result<()> {
        unsupported()
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::Unsupported("pods are not built yet".into()))
}
