//! The state file of a shim: read by the daemon when the shim itself cannot be asked any more.

use serde::{Deserialize, Serialize};

use super::{container::Container, protocol::PodPlan};
use crate::{
    error::Result,
    files::{self, Durability},
    status::ContainerStatus,
    sys,
};

/// Last known state of a pod.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShimState {
    pub boot_id: String,
    pub pid: i32,
    pub start_time: Option<u64>,
    /// The init of a shared pid namespace, with its start time.
    pub pause: Option<(i32, u64)>,
    pub containers: Vec<ContainerRecord>,
}

/// A container with what identifies its process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub status: ContainerStatus,
    pub start_time: Option<u64>,
}

/// Replaces the state file. Not flushed: it has to survive this process, not the machine.
pub(super) fn save(plan: &PodPlan, containers: &[Container], pause: Option<i32>) -> Result<()> {
    let pid = std::process::id() as i32;
    let state = ShimState {
        boot_id: plan.boot_id.clone(),
        pid,
        start_time: sys::start_time(pid),
        pause: pause.and_then(|pid| Some((pid, sys::start_time(pid)?))),
        containers: containers
            .iter()
            .filter(|c| c.creating.is_none())
            .map(|c| ContainerRecord { status: c.status.clone(), start_time: c.start_time })
            .collect(),
    };
    files::write_json(&plan.paths.state(), &state, Durability::Process)
}
