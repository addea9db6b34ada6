//! Amounts of what nodes have and pods ask for.

use std::{collections::BTreeMap, sync::Arc};

use kabuki_api::quantity::Quantity;

use crate::controllers::model::{Container, LabelMap, PodSpec};

/// What a container without a CPU request counts for when nodes are scored, in millicores.
const DEFAULT_MILLI_CPU: i64 = 100;
/// What a container without a memory request counts for when nodes are scored, in bytes.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// CPU in millicores, the rest in bytes or pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral: i64,
    pub pods: i64,
    /// Everything else: huge pages, devices.
    pub other: BTreeMap<Arc<str>, i64>,
}

impl Resources {
    /// Reads `allocatable` or `requests`. What cannot be parsed counts as nothing; validation lets
    /// none of it through.
    pub fn parse(map: &LabelMap) -> Self {
        let mut resources = Self::default();
        for (name, text) in map {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            let amount = if name == "cpu" { quantity.milli_value() } else { quantity.value() };
            let amount = i64::try_from(amount).unwrap_or(i64::MAX);
            match name.as_str() {
                "cpu" => resources.milli_cpu = amount,
                "memory" => resources.memory = amount,
                "ephemeral-storage" => resources.ephemeral = amount,
                "pods" => resources.pods = amount,
                other => drop(resources.other.insert(other.into(), amount)),
            }
        }
        resources
    }

    pub fn add(&mut self, more: &Self) {
        self.change(more, i64::saturating_add);
    }

    pub fn subtract(&mut self, less: &Self) {
        self.change(less, i64::saturating_sub);
    }

    fn raise_to(&mut self, least: &Self) {
        self.change(least, i64::max);
    }

    fn change(&mut self, by: &Self, op: fn(i64, i64) -> i64) {
        self.milli_cpu = op(self.milli_cpu, by.milli_cpu);
        self.memory = op(self.memory, by.memory);
        self.ephemeral = op(self.ephemeral, by.ephemeral);
        self.pods = op(self.pods, by.pods);
        for (name, amount) in &by.other {
            let own = self.other.entry(Arc::clone(name)).or_default();
            *own = op(*own, *amount);
        }
    }
}

/// What a pod asks for: its containers at once, or its largest init step if that is more, plus
/// overhead (upstream: `PodRequests` in `component-helpers/resource`).
pub(super) fn requested(spec: &PodSpec) -> Resources {
    sum(spec, |container| Resources::parse(&container.resources.requests))
}

/// The same for scoring, where a container that asks for nothing still counts for something.
pub(super) fn requested_for_score(spec: &PodSpec) -> (i64, i64) {
    let total = sum(spec, |container| {
        let mut own = Resources::parse(&container.resources.requests);
        if !container.resources.requests.contains_key("cpu") {
            own.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if !container.resources.requests.contains_key("memory") {
            own.memory = DEFAULT_MEMORY;
        }
        own
    });
    (total.milli_cpu, total.memory)
}

fn sum(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for init in &spec.init_containers {
        let mut step = of(init);
        if init.restart_policy == "Always" {
            sidecars.add(&step);
            peak.raise_to(&sidecars);
        } else {
            step.add(&sidecars);
            peak.raise_to(&step);
        }
    }
    total.add(&sidecars);
    total.raise_to(&peak);
    total.add(&Resources::parse(&spec.overhead));
    total.pods = 1;
    total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_ask_for_their_peak() {
        let container = |cpu: &str, sidecar: bool| {
            json!({"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}},
                "restartPolicy": if sidecar { "Always" } else { "" }})
        };
        for (init, containers, milli) in [
            (vec![], vec![container("500m", false), container("1", false)], 1500),
            (vec![container("2", false)], vec![container("1", false)], 2000),
            (vec![container("1", true)], vec![container("1", false)], 2000),
            (vec![container("1", true), container("3", false)], vec![container("1", false)], 4000),
            (vec![container("3", false), container("1", true)], vec![container("1", false)], 3000),
        ] {
            let spec: PodSpec = serde_json::from_value(
                json!({"initContainers": init, "containers": containers, "overhead": {"cpu": "0"}}),
            )
            .unwrap();
            assert_eq!(requested(&spec).milli_cpu, milli);
        }
        let bare: PodSpec = serde_json::from_value(json!({"containers": [{}, {}]})).unwrap();
        assert_eq!(requested(&bare).milli_cpu, 0);
        assert_eq!(requested_for_score(&bare), (200, 400 * 1024 * 1024));
    }
}
