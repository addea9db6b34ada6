//! One container's state within its pod.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Container as Spec, jiff::Timestamp};
use kabuki_runtime::ImageInfo;

use super::{CrashLoop, Probes};
use crate::kubelet::pod_view::is_sidecar;

/// What role a container plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// An ordinary container.
    Main,
}

/// Reason and message of a waiting container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For example `ErrImagePull`.
    pub reason: String,
    /// Text for a human.
    pub message: String,
}

impl Trouble {
    /// Both parts.
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Runtime id.
    pub id: String,
    /// Container name.
    pub container: String,
    /// Restart count of that run.
    pub attempt: u32,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Exit code, 128+signal included.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// Termination message.
    pub message: Option<String>,
}

/// The postStart hook of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Not begun.
    Todo,
    /// Running.
    Busy,
    /// Through, or there is none.
    Done,
}

/// A stop under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// When the container is killed at the latest.
    pub deadline: Timestamp,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Runtime id.
    pub id: String,
    /// Restart count.
    pub attempt: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// `image` of the spec it was made from, to notice a change.
    pub spec_image: String,
    /// Image name shown in the status.
    pub image: String,
    /// Image id shown in the status.
    pub image_id: String,
    /// postStart hook.
    pub hook: Hook,
    /// Set while it is being stopped.
    pub stop: Option<StopOrder>,
}

/// Where a container's current run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// Never started.
    Never,
    /// Being created and started; the run before it, if any.
    Starting(Option<Finished>),
    /// Runs.
    Running(Running),
    /// Has ended.
    Ended(Finished),
}

/// The image for the next run.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageStep {
    /// Not looked for.
    Unknown,
    /// Being looked for or pulled.
    Busy,
    /// Ready to be used once.
    Here(Arc<ImageInfo>),
    /// Could not be had.
    Failed {
        /// When to try again.
        retry_at: Timestamp,
        /// Pause after the next failure, in seconds.
        delay: i64,
    },
}

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Role.
    pub kind: Kind,
    /// Current run.
    pub run: Run,
    /// The run before the current one.
    pub last: Option<Finished>,
    /// Image for the next run.
    pub image: ImageStep,
    /// Image name and id of the latest run, for the status.
    pub shown_image: Option<(String, String)>,
    /// Crash loop back-off.
    pub crash_loop: CrashLoop,
    /// Why it waits, when it does.
    pub trouble: Option<Trouble>,
    /// Not to be started before this, after a failed start.
    pub retry_at: Option<Timestamp>,
    /// Failed starts in a row.
    pub start_failures: u32,
    /// Start again whatever the restart policy says: its spec changed.
    pub restart_anyway: bool,
    /// Probes of the current run.
    pub probes: Probes,
    /// The sandbox went while it was being started: whatever comes of that is dead.
    pub(super) doomed: bool,
}

impl Container {
    pub(super) fn new(spec: &Spec, init: bool) -> Self {
        let kind = match (init, is_sidecar(spec)) {
            (true, true) => Kind::Sidecar,
            (true, false) => Kind::Init,
            (false, _) => Kind::Main,
        };
        Self {
            name: spec.name.clone(),
            kind,
            run: Run::Never,
            last: None,
            image: ImageStep::Unknown,
            shown_image: None,
            crash_loop: CrashLoop::default(),
            trouble: None,
            retry_at: None,
            start_failures: 0,
            restart_anyway: false,
            probes: Probes::default(),
            doomed: false,
        }
    }

    /// Restart count of the latest run.
    pub fn restarts(&self) -> u32 {
        match &self.run {
            Run::Never | Run::Starting(None) => self.last.as_ref().map_or(0, |l| l.attempt),
            Run::Starting(Some(ended)) | Run::Ended(ended) => ended.attempt,
            Run::Running(running) => running.attempt,
        }
    }

    /// Restart count of the next run.
    pub(super) fn next_attempt(&self) -> u32 {
        match (&self.run, &self.last) {
            (Run::Never | Run::Starting(None), None) => 0,
            _ => self.restarts() + 1,
        }
    }

    /// The run, while it lasts.
    pub fn running(&self) -> Option<&Running> {
        if let Run::Running(running) = &self.run { Some(running) } else { None }
    }

    pub(super) fn running_mut(&mut self, id: &str) -> Option<&mut Running> {
        match &mut self.run {
            Run::Running(running) if running.id == id => Some(running),
            _ => None,
        }
    }

    /// Whether no process of it can be there.
    pub fn is_dead(&self) -> bool {
        matches!(self.run, Run::Never | Run::Ended(_))
    }

    /// `started` of the status: runs, its hook is through and its startup probe has succeeded.
    pub fn is_started(&self) -> bool {
        self.running().is_some_and(|r| r.hook == Hook::Done) && self.probes.startup_passed()
    }

    /// `ready` of the status.
    pub fn is_ready(&self) -> bool {
        match (&self.run, self.kind) {
            (Run::Ended(ended), Kind::Init) => ended.exit_code == 0,
            _ => self.is_started() && self.probes.readiness_passed(),
        }
    }
}
