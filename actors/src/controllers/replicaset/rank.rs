//! Which pods go first when there are too many (upstream: `ActivePodsWithRanks` in
//! `pkg/controller/controller_utils.go`).

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
};

use crate::controllers::model::{Pod, Time, Typed};

/// Lets people say which pod is cheap to lose; an integer, lower goes first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods to delete. `related` are all pods whose company on a node makes a pod the
/// better victim.
pub(super) fn first_to_go<'a>(
    pods: &'a [Typed<Pod>],
    related: &[Typed<Pod>],
    count: usize,
) -> Vec<&'a Typed<Pod>> {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| !pod.spec.node_name.is_empty()) {
        *crowd.entry(pod.spec.node_name.as_str()).or_default() += 1;
    }
    let mut ranked: Vec<_> = pods.iter().collect();
    ranked.sort_by(|a, b| {
        let company = |pod: &Pod| crowd.get(pod.spec.node_name.as_str()).copied().unwrap_or(0);
        order(a, b, company(a), company(b))
    });
    ranked.truncate(count);
    ranked
}

/// `Less` means that `a` goes before `b`.
fn order(a: &Pod, b: &Pod, company_a: usize, company_b: usize) -> Ordering {
    let by_assignment = |p: &Pod| !p.spec.node_name.is_empty();
    by_assignment(a)
        .cmp(&by_assignment(b))
        .then(phase(a).cmp(&phase(b)))
        .then(a.is_ready().cmp(&b.is_ready()))
        .then(cost(a).cmp(&cost(b)))
        .then(Reverse(company_a).cmp(&Reverse(company_b)))
        .then(Reverse(a.ready_since()).cmp(&Reverse(b.ready_since())))
        .then(Reverse(a.restarts()).cmp(&Reverse(b.restarts())))
        .then(Reverse(created(a)).cmp(&Reverse(created(b))))
        .then(a.metadata.uid.cmp(&b.metadata.uid))
}

fn phase(pod: &Pod) -> u8 {
    match pod.status.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn cost(pod: &Pod) -> i32 {
    pod.metadata.annotation(DELETION_COST).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn created(pod: &Pod) -> Time {
    pod.metadata.creation_timestamp
}
