//! A pod found running by a new daemon: its state from what the runtime and the API know.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
    jiff::Timestamp,
};

use super::{CrashLoop, Finished, Hook, Machine, Probes, Run, Running, Step};

/// Exit code of a container of which nobody knows how it ended.
const UNKNOWN_CODE: i32 = 255;

/// One container the runtime knows.
#[derive(Debug, Clone)]
pub enum Found {
    /// It runs. (Name, run.)
    Running(String, Running),
    /// It has ended.
    Ended(Finished),
}

impl Machine {
    /// A pod whose sandbox is there. Containers come oldest first.
    pub fn adopt(pod: Arc<Pod>, ips: Vec<String>, found: Vec<Found>, now: Timestamp) -> Self {
        let mut machine = Self::new(pod.clone(), now);
        let status = pod.status.clone().unwrap_or_default();
        machine.started_at = status.start_time.map_or(now, |t| t.0);
        machine.sandbox = Step::Done;
        // They were filled before the sandbox had its first container, and outlive the daemon;
        // a container must be able to restart while the API is out of reach.
        if !found.is_empty() {
            machine.volumes = Step::Done;
        }
        machine.ips = ips;
        for one in found {
            machine.place(one);
        }
        machine.initialized |= machine
            .containers
            .iter()
            .any(|c| c.kind == super::Kind::Main && !matches!(c.run, Run::Never));
        machine.remember(now);
        machine
    }

    /// A pod that ran here before and of which nothing is left: the machine was started anew, or the
    /// sandbox cannot be understood. Its containers have ended, nobody knows how.
    pub fn revive(pod: Arc<Pod>, now: Timestamp) -> Self {
        let mut machine = Self::new(pod.clone(), now);
        let status = pod.status.clone().unwrap_or_default();
        machine.started_at = status.start_time.map_or(now, |t| t.0);
        machine.remember(now);
        machine.begin_again();
        machine
    }

    /// As [`Machine::adopt`], for a pod whose sandbox was lost with its shim.
    pub fn adopt_lost(pod: Arc<Pod>, found: Vec<Found>, now: Timestamp) -> Self {
        let mut machine = Self::adopt(pod, Vec::new(), found, now);
        machine.sandbox = Step::Todo;
        machine.begin_again();
        machine
    }

    /// Has containers of the runtime removed that this machine does not count.
    pub fn discard(&mut self, ids: Vec<String>) {
        self.garbage.extend(ids);
    }

    /// What only the API knows of the containers.
    fn remember(&mut self, now: Timestamp) {
        let status = self.pod.status.clone().unwrap_or_default();
        let lists = [status.container_statuses, status.init_container_statuses];
        let known: Vec<ContainerStatus> = lists.into_iter().flatten().flatten().collect();
        for container in &mut self.containers {
            if let Some(status) = known.iter().find(|s| s.name == container.name) {
                container
                    .shown_image
                    .get_or_insert((status.image.clone(), status.image_id.clone()));
                recall(container, status);
                if container.run == Run::Never {
                    recover(container, status, now);
                }
            }
        }
    }

    fn place(&mut self, found: Found) {
        let name = match &found {
            Found::Running(name, _) => name.clone(),
            Found::Ended(finished) => finished.container.clone(),
        };
        let spec = self.spec_of(&name).cloned();
        let Some(container) = self.container_mut(&name) else { return };
        if let Run::Ended(before) = &container.run {
            let forgotten = container.last.replace(before.clone());
            self.garbage.extend(forgotten.map(|f| f.id));
        }
        let Some(container) = self.container_mut(&name) else { return };
        container.run = match found {
            Found::Ended(finished) => {
                container.crash_loop = CrashLoop::resumed(
                    finished.attempt,
                    finished.started_at.unwrap_or(finished.finished_at),
                );
                Run::Ended(finished)
            }
            Found::Running(_, running) => {
                container.crash_loop = CrashLoop::resumed(running.attempt, running.started_at);
                container.probes =
                    spec.map(|s| Probes::start(&s, running.started_at)).unwrap_or_default();
                container.shown_image = Some((running.image.clone(), running.image_id.clone()));
                Run::Running(Running { hook: Hook::Done, ..running })
            }
        };
    }
}

/// What only the API remembers: readiness, and how the run before ended.
fn recall(container: &mut super::Container, status: &ContainerStatus) {
    let same_run = container
        .running()
        .is_some_and(|r| status.container_id.as_deref().is_some_and(|id| id.ends_with(&r.id)));
    if same_run {
        container.probes.assume(status.started == Some(true), status.ready);
    }
    if container.last.is_none()
        && let Some(last) = status.last_state.as_ref().and_then(|s| s.terminated.as_ref())
    {
        let attempt = u32::try_from(status.restart_count - 1).unwrap_or(0);
        container.last = Some(finished(&container.name, attempt, last));
    }
}

/// The latest run of a container the runtime does not know any more, as the API has it. One that ran
/// then has ended since; code and reason are those containerd shows after a reboot.
fn recover(container: &mut super::Container, status: &ContainerStatus, now: Timestamp) {
    let Some(id) = status.container_id.as_deref().map(bare).filter(|id| !id.is_empty()) else {
        return;
    };
    let attempt = u32::try_from(status.restart_count).unwrap_or(0);
    let state = status.state.clone().unwrap_or_default();
    let run = match (state.terminated, container.last.take_if(|l| l.id == id)) {
        (Some(ended), before) => {
            container.last = container.last.take().or(before);
            finished(&container.name, attempt, &ended)
        }
        // It waits for its next run; what the API calls its last is the latest there was.
        (None, Some(latest)) => Finished { attempt, ..latest },
        (None, None) => Finished {
            id: id.to_owned(),
            container: container.name.clone(),
            attempt,
            started_at: state.running.and_then(|r| r.started_at).map(|t| t.0),
            finished_at: now,
            exit_code: UNKNOWN_CODE,
            reason: "Unknown".to_owned(),
            message: None,
        },
    };
    container.run = Run::Ended(run);
}

/// A container id without its scheme.
fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

fn finished(name: &str, attempt: u32, ended: &ContainerStateTerminated) -> Finished {
    Finished {
        id: ended.container_id.as_deref().map(bare).unwrap_or_default().to_owned(),
        container: name.to_owned(),
        attempt,
        started_at: ended.started_at.as_ref().map(|t| t.0),
        finished_at: ended.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
        exit_code: ended.exit_code,
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone(),
    }
}
