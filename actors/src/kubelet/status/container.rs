//! `containerStatuses` and `initContainerStatuses`.

use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

use crate::kubelet::{
    machine::{Container, Finished, Kind, Machine, Run},
    pod_view::PodView,
};

/// Prefix of container ids in the API.
pub(super) const ID_SCHEME: &str = "kabuki://";

pub(super) fn status(machine: &Machine, container: &Container) -> ContainerStatus {
    let spec_image = machine.pod.container(&container.name).and_then(|c| c.image.clone());
    let (image, image_id) = container.shown_image.clone().unwrap_or_default();
    let (state, last) = states(machine, container);
    let id = match &container.run {
        Run::Running(running) => Some(&running.id),
        Run::Ended(ended) | Run::Starting(Some(ended)) => Some(&ended.id),
        Run::Never | Run::Starting(None) => None,
    };
    let restartable = container.kind != Kind::Init;
    ContainerStatus {
        name: container.name.clone(),
        image: Some(image).filter(|i| !i.is_empty()).or(spec_image).unwrap_or_default(),
        image_id,
        container_id: id.filter(|i| !i.is_empty()).map(|i| format!("{ID_SCHEME}{i}")),
        ready: container.is_ready(),
        started: Some(restartable && container.is_started()),
        restart_count: i32::try_from(container.restarts()).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: last.map(|l| ContainerState { terminated: Some(l), ..Default::default() }),
        ..ContainerStatus::default()
    }
}

fn states(
    machine: &Machine,
    container: &Container,
) -> (ContainerState, Option<ContainerStateTerminated>) {
    let last = container.last.as_ref().map(terminated);
    match &container.run {
        Run::Running(running) => {
            let running = ContainerStateRunning { started_at: Some(time(running.started_at)) };
            (ContainerState { running: Some(running), ..Default::default() }, last)
        }
        Run::Ended(ended) | Run::Starting(Some(ended)) => match &container.trouble {
            // What ended will start again, and has to wait for it.
            Some(trouble) if !machine.is_ending() => {
                (waiting(&trouble.reason, Some(&trouble.message)), Some(terminated(ended)))
            }
            _ => {
                let state =
                    ContainerState { terminated: Some(terminated(ended)), ..Default::default() };
                (state, last)
            }
        },
        Run::Never | Run::Starting(None) => match &container.trouble {
            Some(trouble) => (waiting(&trouble.reason, Some(&trouble.message)), last),
            None => {
                let has_inits = machine.containers.iter().any(|c| c.kind != Kind::Main);
                let reason = if has_inits { "PodInitializing" } else { "ContainerCreating" };
                (waiting(reason, None), last)
            }
        },
    }
}

fn waiting(reason: &str, message: Option<&str>) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: message.map(str::to_owned),
    };
    ContainerState { waiting: Some(waiting), ..Default::default() }
}

fn terminated(finished: &Finished) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: (!finished.id.is_empty()).then(|| format!("{ID_SCHEME}{}", finished.id)),
        exit_code: finished.exit_code,
        reason: Some(finished.reason.clone()),
        message: finished.message.clone(),
        started_at: finished.started_at.map(time),
        finished_at: Some(time(finished.finished_at)),
        signal: None,
    }
}

/// Second precision, as the API stores it: what is compared must not differ below that.
fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
