//! `status` of a pod from the state of its machine, as upstream's kubelet writes it. Pure.

mod conditions;
mod container;
mod patch;
mod phase;

#[cfg(test)]
mod tests;

pub use patch::{is_own, status_patch};

use k8s_openapi::{
    api::core::v1::{HostIP, PodCondition, PodIP, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

use super::{
    machine::{Kind, Machine},
    pod_view::PodView,
    resources::{qos, qos_name},
};

/// The pod's status at `now`. `known` are the conditions of the status before this one: what did
/// not change keeps its time, and conditions of others are kept.
pub fn compute(
    machine: &Machine,
    host_ips: &[String],
    known: &[PodCondition],
    now: Timestamp,
) -> PodStatus {
    let pod = &machine.pod;
    let rejected = machine.verdict.is_some()
        && machine.containers.iter().all(|c| c.is_dead())
        && machine.containers.iter().all(|c| c.shown_image.is_none() && c.last.is_none())
        && machine.sandbox == super::machine::Step::Todo;
    let mut status = PodStatus {
        observed_generation: pod.metadata.generation,
        qos_class: Some(qos_name(qos(pod)).to_owned()),
        start_time: Some(Time(conditions::whole_second(machine.started_at))),
        ..PodStatus::default()
    };
    if let Some(verdict) = &machine.verdict {
        status.reason.clone_from(&verdict.reason);
        status.message.clone_from(&verdict.message);
    }
    if rejected {
        // As upstream: a refused pod has a phase and a reason, nothing else of its own.
        status.phase = Some("Failed".to_owned());
        status.conditions = Some(known.to_vec()).filter(|c| !c.is_empty());
        return status;
    }
    let of = |mains: bool| {
        let listed = machine.containers.iter().filter(move |c| (c.kind == Kind::Main) == mains);
        listed.map(|c| container::status(machine, c)).collect::<Vec<_>>()
    };
    let (inits, mains) = (of(false), of(true));
    let phase = phase::phase(machine, &inits, &mains);
    status.conditions = Some(conditions::conditions(machine, phase, known, now));
    status.phase = Some(phase.to_owned());
    status.container_statuses = Some(mains);
    status.init_container_statuses = Some(inits).filter(|i| !i.is_empty());
    status.host_ip = host_ips.first().cloned();
    status.host_ips = Some(host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips = if pod.host_network() { host_ips } else { &machine.ips };
    status.pod_ip = ips.first().cloned();
    status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect::<Vec<_>>())
        .filter(|list| !list.is_empty());
    status
}
