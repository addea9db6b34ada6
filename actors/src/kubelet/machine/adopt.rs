//! A pod found running by a new daemon: its state from what the runtime and the API know.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::Timestamp,
};

use super::{CrashLoop, Finished, Hook, Machine, Probes, Run, Running, Step};

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
        machine.volumes = Step::Done;
        machine.ips = ips;
        let lists = [status.container_statuses, status.init_container_statuses];
        let known: Vec<ContainerStatus> = lists.into_iter().flatten().flatten().collect();
        for one in found {
            machine.place(one);
        }
        for container in &mut machine.containers {
            if let Some(status) = known.iter().find(|s| s.name == container.name) {
                container
                    .shown_image
                    .get_or_insert((status.image.clone(), status.image_id.clone()));
                recall(container, status);
            }
        }
        machine.initialized |= machine
            .containers
            .iter()
            .any(|c| c.kind == super::Kind::Main && !matches!(c.run, Run::Never));
        machine
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
        container.last = Some(Finished {
            // Not the runtime's any more: nothing is to be removed.
            id: last
                .container_id
                .clone()
                .unwrap_or_default()
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            container: container.name.clone(),
            attempt: u32::try_from(status.restart_count - 1).unwrap_or(0),
            started_at: last.started_at.as_ref().map(|t| t.0),
            finished_at: last.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            exit_code: last.exit_code,
            reason: last.reason.clone().unwrap_or_default(),
            message: last.message.clone(),
        });
    }
}
