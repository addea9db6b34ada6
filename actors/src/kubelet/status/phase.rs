//! The pod's phase (upstream `kubelet_pods.go getPhase`).

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::kubelet::{
    machine::{Kind, Machine},
    pod_view::{PodView, RestartPolicy},
};

/// What a status says about its container.
enum Seen {
    Running,
    Waiting,
    Stopped { code: i32 },
}

fn seen(status: &ContainerStatus) -> Seen {
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Seen::Running;
    }
    let before = status.last_state.as_ref().and_then(|l: &ContainerState| l.terminated.as_ref());
    match state.terminated.as_ref().or(before) {
        Some(terminated) => Seen::Stopped { code: terminated.exit_code },
        None => Seen::Waiting,
    }
}

/// `Pending`, `Running`, `Succeeded` or `Failed`.
pub(super) fn phase(
    machine: &Machine,
    inits: &[ContainerStatus],
    mains: &[ContainerStatus],
) -> &'static str {
    let policy = machine.pod.restart_policy();
    let (mut pending, mut failed) = (0, 0);
    for status in inits {
        let kind = machine.container(&status.name).map(|c| c.kind);
        match (kind, seen(status)) {
            (Some(Kind::Sidecar), _) => {}
            (_, Seen::Stopped { code: 0 }) => {}
            (_, Seen::Stopped { .. }) => failed += 1,
            (_, Seen::Running | Seen::Waiting) => pending += 1,
        }
    }
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in mains {
        match seen(status) {
            Seen::Running => running += 1,
            Seen::Waiting => waiting += 1,
            Seen::Stopped { code } => {
                stopped += 1;
                succeeded += usize::from(code == 0);
            }
        }
    }
    let all_stopped = || if succeeded == stopped { "Succeeded" } else { "Failed" };
    let sidecars_alive = machine.containers.iter().any(|c| !c.is_dead());
    if let Some(verdict) = &machine.verdict {
        // The verdict stands, but the phase is terminal only once nothing runs any more.
        if sidecars_alive {
            return if running > 0 || stopped > 0 { "Running" } else { "Pending" };
        }
        return if verdict.succeeded { "Succeeded" } else { "Failed" };
    }
    if failed > 0 && policy == RestartPolicy::Never {
        return "Failed";
    }
    if pending > 0 || waiting > 0 || (failed > 0 && !machine.initialized) {
        return "Pending";
    }
    if running > 0 || stopped == 0 {
        return if running > 0 { "Running" } else { "Pending" };
    }
    // Ending pods whose containers have all stopped are terminal whatever their policy says.
    if machine.is_ending() && !sidecars_alive {
        return all_stopped();
    }
    match policy {
        RestartPolicy::Always => "Running",
        RestartPolicy::Never => all_stopped(),
        RestartPolicy::OnFailure if succeeded == stopped => "Succeeded",
        RestartPolicy::OnFailure => "Running",
    }
}
