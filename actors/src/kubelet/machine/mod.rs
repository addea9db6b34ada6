//! One pod's life as a pure state machine: [`Machine::decide`] says what to do next,
//! [`Machine::apply`] takes in what came of it. No clock, no I/O: the worker actor brings both.

mod adopt;
mod apply;
mod backoff;
mod container;
mod decide;
mod ending;
mod probes;

#[cfg(test)]
mod lost_tests;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::Pod,
    jiff::{SignedDuration, Timestamp},
};
use kabuki_runtime::ImageInfo;

pub use adopt::Found;
pub(super) use apply::LOST_MESSAGE;
pub use backoff::CrashLoop;
pub use container::{Container, Finished, Hook, ImageStep, Kind, Run, Running, StopOrder, Trouble};
pub use probes::{ProbeKind, ProbeOutcome, ProbeRun, Probes};

use super::pod_view::{PodView, all_containers};

/// Exits of containers whose start has not come back yet; more than containers can start at once.
const MAX_EARLY_EXITS: usize = 64;

/// A step that is done once, and tried again when it failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// To be done.
    Todo,
    /// Under way.
    Busy,
    /// Done.
    Done,
    /// Tried; due again later.
    Failed {
        /// When to try again.
        retry_at: Timestamp,
        /// How often it has failed in a row.
        failures: u32,
        /// What the last failure said.
        message: String,
    },
    /// Being undone.
    Removing,
    /// Undone; nothing is left.
    Gone,
}

impl Step {
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Self::Todo => true,
            Self::Failed { retry_at, .. } => *retry_at <= now,
            _ => false,
        }
    }

    fn failures(&self) -> u32 {
        if let Self::Failed { failures, .. } = self { *failures } else { 0 }
    }
}

/// Why a pod will not run any more, though nobody deleted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `Succeeded` or `Failed`.
    pub succeeded: bool,
    /// `status.reason`, for example `DeadlineExceeded` or `OutOfcpu`.
    pub reason: Option<String>,
    /// `status.message`
    pub message: Option<String>,
}

/// What the worker is to do. Whatever is named here counts as under way until its
/// [`Outcome`] is applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make the sandbox and attach it to the network.
    CreateSandbox,
    /// Fill the volumes.
    PrepareVolumes,
    /// See that a container's image is here, as its pull policy says.
    EnsureImage {
        /// Container name.
        container: String,
    },
    /// Create and start a container.
    Start {
        /// Container name.
        container: String,
        /// Its restart count.
        attempt: u32,
        /// The image to run.
        image: Arc<ImageInfo>,
    },
    /// Run the postStart hook.
    PostStart {
        /// Container name.
        container: String,
        /// Runtime id.
        id: String,
    },
    /// Run a probe once.
    Probe {
        /// Container name.
        container: String,
        /// Runtime id.
        id: String,
        /// Which probe.
        kind: ProbeKind,
    },
    /// Stop a container: preStop hook, signal, kill.
    Stop {
        /// Container name.
        container: String,
        /// Runtime id.
        id: String,
        /// Time for hook and signal together.
        grace: Duration,
        /// Whether the preStop hook is still to be run.
        hook: bool,
        /// Text of the `Killing` event; none for a repeated order.
        event: Option<String>,
    },
    /// Record an event about a container (or the pod, with an empty name).
    Tell {
        /// Container name.
        container: String,
        /// Event reason; such events are warnings.
        reason: &'static str,
        /// Event message.
        message: String,
    },
    /// Forget a dead container older than the last one.
    Remove {
        /// Runtime id.
        id: String,
    },
    /// Remove sandbox, network and volumes.
    Destroy,
    /// Remove the pod from the API.
    Delete,
}

/// What came of an action, or was seen meanwhile.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The sandbox is there; the pod's addresses.
    SandboxReady(Vec<String>),
    /// The sandbox could not be made.
    SandboxFailed(String),
    /// The shim is gone with all containers; the sandbox must be made anew.
    SandboxLost,
    /// Volumes are filled.
    VolumesReady,
    /// Volumes cannot be filled.
    VolumesFailed(String),
    /// An image is here, or why not.
    Image {
        /// Container name.
        container: String,
        /// The image, or reason and message.
        result: Result<Arc<ImageInfo>, Trouble>,
    },
    /// A container runs.
    Started {
        /// Container name.
        container: String,
        /// What runs.
        running: Running,
    },
    /// A container does not run.
    StartFailed {
        /// Container name.
        container: String,
        /// Reason and message.
        trouble: Trouble,
        /// Set when the container was made and counts as a run that failed.
        ended: Option<Finished>,
    },
    /// The postStart hook has run.
    PostStart {
        /// Container name.
        container: String,
        /// Runtime id.
        id: String,
        /// Its error, if any.
        result: Result<(), String>,
    },
    /// A probe has run.
    Probed {
        /// Container name.
        container: String,
        /// Runtime id.
        id: String,
        /// Which probe.
        kind: ProbeKind,
        /// What it said.
        result: ProbeOutcome,
    },
    /// A container has ended.
    Exited(Finished),
    /// Nothing is left of the pod on the node.
    Destroyed,
    /// Something is left; to be tried again.
    DestroyFailed(String),
    /// The pod is gone from the API.
    Deleted,
    /// The API did not take the deletion; to be tried again.
    DeleteFailed(String),
}

/// What [`Machine::decide`] wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// To be begun now.
    pub actions: Vec<Action>,
    /// When to decide again even if nothing happens.
    pub wake: Option<Timestamp>,
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }
}

/// The state of one pod on this node.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The pod as the API has it.
    pub pod: Arc<Pod>,
    /// When this node took the pod on (`status.startTime`).
    pub started_at: Timestamp,
    /// Sandbox with network.
    pub sandbox: Step,
    /// Volumes.
    pub volumes: Step,
    /// The pod's addresses, the first is the primary one.
    pub ips: Vec<String>,
    /// Init containers, then containers, in the order of the spec.
    pub containers: Vec<Container>,
    /// Set once the pod is not to run any more.
    pub verdict: Option<Verdict>,
    /// Init containers were all through once.
    pub initialized: bool,
    /// Latest end of everything, once the pod is ending.
    pub kill_at: Option<Timestamp>,
    /// Removal from the API.
    pub deletion: Step,
    early_exits: Vec<Finished>,
    garbage: Vec<String>,
}

impl Machine {
    /// A pod this node has not seen before.
    pub fn new(pod: Arc<Pod>, now: Timestamp) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let inits = spec.init_containers.as_ref().map_or(0, Vec::len);
        let containers = all_containers(&spec)
            .enumerate()
            .map(|(at, c)| Container::new(c, at < inits))
            .collect::<Vec<_>>();
        Self {
            pod,
            started_at: now,
            sandbox: Step::Todo,
            volumes: Step::Todo,
            ips: Vec::new(),
            initialized: inits == 0,
            containers,
            verdict: None,
            kill_at: None,
            deletion: Step::Todo,
            early_exits: Vec::new(),
            garbage: Vec::new(),
        }
    }

    /// A new sandbox begins at the beginning, as upstream's: init containers run again, unless no
    /// other container has to.
    fn begin_again(&mut self) {
        let policy = self.pod.restart_policy();
        let mut mains = self.containers.iter().filter(|c| c.kind == Kind::Main);
        let wanted = mains.any(|c| match &c.run {
            Run::Ended(ended) => decide::restarts(policy, ended.exit_code),
            _ => true,
        });
        if !wanted {
            return;
        }
        for container in self.containers.iter_mut().filter(|c| c.kind == Kind::Init) {
            container.restart_anyway = !matches!(container.run, Run::Never);
        }
        self.initialized = self.containers.iter().all(|c| c.kind == Kind::Main);
    }

    /// Takes a newer version of the same pod.
    pub fn update(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
    }

    /// Refuses the pod before anything of it was made.
    pub fn reject(&mut self, reason: &str, message: &str) {
        self.verdict = Some(Verdict {
            succeeded: false,
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
        });
    }

    /// Whether the pod is to stop: deleted, or done with.
    pub fn is_ending(&self) -> bool {
        self.verdict.is_some() || self.pod.deletion().is_some()
    }

    /// Whether nothing is left to do for this pod, here or in the API.
    pub fn is_finished(&self) -> bool {
        self.deletion == Step::Gone
    }

    /// Runtime ids of current and previous runs.
    pub fn run_ids(&self) -> Vec<String> {
        let of = |c: &Container| {
            let current = match &c.run {
                Run::Running(running) => Some(running.id.clone()),
                Run::Ended(ended) | Run::Starting(Some(ended)) => Some(ended.id.clone()),
                Run::Never | Run::Starting(None) => None,
            };
            current.into_iter().chain(c.last.as_ref().map(|l| l.id.clone())).collect::<Vec<_>>()
        };
        self.containers.iter().flat_map(of).collect()
    }

    /// A container by name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    fn container_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|c| c.name == name)
    }

    fn spec_of(&self, name: &str) -> Option<&k8s_openapi::api::core::v1::Container> {
        self.pod.container(name)
    }
}

/// `at` plus some seconds.
pub(super) fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// Pause before the next try after `failures` failures: 250 ms, doubling to 10 s.
fn retry_at(now: Timestamp, failures: u32) -> Timestamp {
    let millis = 250_i64.saturating_mul(1 << failures.min(6)).min(10_000);
    now.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}
