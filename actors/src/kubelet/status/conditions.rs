//! Pod conditions (upstream `status/generate.go`).

use k8s_openapi::{
    api::core::v1::PodCondition, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp,
};

use crate::kubelet::machine::{Container, Kind, Machine, Run, Step};

/// One condition without its time.
struct Fact {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Fact {
    fn yes(kind: &'static str, reason: Option<&'static str>) -> Self {
        Self { kind, holds: true, reason, message: None }
    }

    fn no(kind: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self { kind, holds: false, reason: Some(reason), message }
    }
}

/// The kubelet's conditions, then those of others in `known`.
pub(super) fn conditions(
    machine: &Machine,
    phase: &str,
    known: &[PodCondition],
    now: Timestamp,
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(machine, phase);
    let ready = ready(machine, &containers_ready, known);
    let facts = [sandbox_ready(machine), initialized(machine, phase), ready, containers_ready];
    let generation = machine.pod.metadata.generation;
    let mut list: Vec<PodCondition> = facts
        .into_iter()
        .map(|fact| {
            let status = if fact.holds { "True" } else { "False" };
            let before = known.iter().find(|c| c.type_ == fact.kind && c.status == status);
            PodCondition {
                type_: fact.kind.to_owned(),
                status: status.to_owned(),
                reason: fact.reason.map(str::to_owned),
                message: fact.message,
                last_transition_time: before
                    .and_then(|c| c.last_transition_time.clone())
                    .or_else(|| Some(Time(whole_second(now)))),
                last_probe_time: None,
                observed_generation: generation,
            }
        })
        .collect();
    let others = known.iter().filter(|c| list.iter().all(|own| own.type_ != c.type_));
    let others: Vec<_> = others.cloned().collect();
    list.extend(others);
    list
}

pub(super) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn sandbox_ready(machine: &Machine) -> Fact {
    let kind = "PodReadyToStartContainers";
    if machine.sandbox == Step::Done && machine.verdict.is_none() {
        Fact::yes(kind, None)
    } else {
        Fact { kind, holds: false, reason: None, message: None }
    }
}

fn initialized(machine: &Machine, phase: &str) -> Fact {
    let kind = "Initialized";
    let unfinished: Vec<&str> = machine
        .containers
        .iter()
        .filter(|c| !machine.initialized && !is_initialized(c))
        .map(|c| c.name.as_str())
        .collect();
    match phase {
        "Succeeded" => Fact::yes(kind, Some("PodCompleted")),
        _ if unfinished.is_empty() => Fact::yes(kind, None),
        _ => {
            let message = format!("containers with incomplete status: [{}]", unfinished.join(" "));
            Fact::no(kind, "ContainersNotInitialized", Some(message))
        }
    }
}

fn is_initialized(container: &Container) -> bool {
    match (container.kind, &container.run) {
        (Kind::Main, _) => true,
        (Kind::Sidecar, _) => container.is_started(),
        (Kind::Init, Run::Ended(ended)) => ended.exit_code == 0,
        (Kind::Init, _) => false,
    }
}

fn containers_ready(machine: &Machine, phase: &str) -> Fact {
    let kind = "ContainersReady";
    match phase {
        "Succeeded" => return Fact::no(kind, "PodCompleted", None),
        "Failed" => return Fact::no(kind, "PodFailed", None),
        _ => {}
    }
    let unready: Vec<&str> = machine
        .containers
        .iter()
        .filter(|c| c.kind != Kind::Init && !c.is_ready())
        .map(|c| c.name.as_str())
        .collect();
    if unready.is_empty() {
        return Fact::yes(kind, None);
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Fact::no(kind, "ContainersNotReady", Some(message))
}

/// `ContainersReady`, and every readiness gate.
fn ready(machine: &Machine, containers: &Fact, known: &[PodCondition]) -> Fact {
    let kind = "Ready";
    if !containers.holds {
        let (reason, message) = (containers.reason, containers.message.clone());
        return Fact { kind, holds: false, reason, message };
    }
    let gates = machine.pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let mut missing = Vec::new();
    for gate in gates {
        let name = &gate.condition_type;
        match known.iter().find(|c| &c.type_ == name) {
            Some(condition) if condition.status == "True" => {}
            Some(condition) => missing.push(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                condition.status
            )),
            None => missing.push(format!(
                "corresponding condition of pod readiness gate \"{name}\" does not exist."
            )),
        }
    }
    if missing.is_empty() {
        return Fact::yes(kind, None);
    }
    let message = if let [one] = missing.as_slice() {
        one.clone()
    } else {
        format!("[{}]", missing.join(", "))
    };
    Fact::no(kind, "ReadinessGatesNotReady", Some(message))
}
