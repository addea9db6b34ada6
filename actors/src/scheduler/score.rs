//! How well a pod would stand on each node it fits (upstream's default plugins and weights).

use super::{
    filter::{matches_term, tolerates},
    neighbours::Neighbours,
    node_info::NodeInfo,
    pod_info::PodInfo,
};

/// Best score of one plugin.
const MAX: i64 = 100;
const WEIGHT_TAINTS: i64 = 3;
const WEIGHT_NODE_AFFINITY: i64 = 2;
const WEIGHT_SPREAD: i64 = 2;
const WEIGHT_POD_AFFINITY: i64 = 2;
/// Image sizes between which locality is scored, in bytes.
const IMAGE_MIN: i64 = 23 * 1024 * 1024;
const IMAGE_MAX: i64 = 1000 * 1024 * 1024;

/// One total per candidate; higher is better.
pub(super) fn score(pod: &PodInfo, nodes: &[&NodeInfo], neighbours: &Neighbours) -> Vec<i64> {
    let mut totals: Vec<i64> = nodes
        .iter()
        .map(|node| least_allocated(pod, node) + balanced(pod, node) + image_locality(pod, node))
        .collect();
    let mut add = |weight: i64, low_is_good: bool, of: &dyn Fn(&NodeInfo) -> i64| {
        let raw: Vec<i64> = nodes.iter().map(|node| of(node)).collect();
        for (total, score) in totals.iter_mut().zip(normalized(&raw, low_is_good)) {
            *total += weight * score;
        }
    };
    if nodes.iter().any(|node| node.taints().iter().any(|t| t.effect == "PreferNoSchedule")) {
        add(WEIGHT_TAINTS, true, &|node| soft_taints(pod, node));
    }
    let wishes = &pod.pod.spec.affinity.node_affinity.preferred;
    if !wishes.is_empty() {
        add(WEIGHT_NODE_AFFINITY, false, &|node| {
            wishes.iter().filter(|w| matches_term(&w.preference, node)).map(|w| w.weight).sum()
        });
    }
    if pod.spread.iter().any(|s| !s.hard) {
        add(WEIGHT_SPREAD, true, &|node| neighbours.crowding(node));
    } else if pod.spread.is_empty() && pod.family().is_some() {
        // Upstream spreads by default over hosts and zones; siblings per host come close to it.
        add(WEIGHT_SPREAD, true, &|node| i64::try_from(node.relatives(pod)).unwrap_or(MAX));
    }
    if !pod.preferred.is_empty() {
        add(WEIGHT_POD_AFFINITY, false, &|node| neighbours.preference(node));
    }
    totals
}

/// Stretches raw values over 0 to 100.
fn normalized(raw: &[i64], low_is_good: bool) -> Vec<i64> {
    let (min, max) = raw.iter().fold((i64::MAX, i64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    raw.iter()
        .map(|value| match max - min {
            0 | i64::MIN..0 => 0,
            range if low_is_good => (max - value) * MAX / range,
            range => (value - min) * MAX / range,
        })
        .collect()
}

fn fractions(pod: &PodInfo, node: &NodeInfo) -> [(i64, i64); 2] {
    [
        (node.weight.0 + pod.weight.0, node.allocatable.milli_cpu),
        (node.weight.1 + pod.weight.1, node.allocatable.memory),
    ]
}

/// Bytes times a hundred fit 64 bits up to 92 PB.
fn percent(part: i64, whole: i64) -> i64 {
    part.saturating_mul(MAX) / whole
}

/// The emptier the node, the better.
fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let free = |(used, all): (i64, i64)| match all {
        all if all <= 0 || used >= all => 0,
        all => percent(all - used, all),
    };
    let [cpu, memory] = fractions(pod, node);
    i64::midpoint(free(cpu), free(memory))
}

/// The closer CPU and memory are to being used alike, the better.
fn balanced(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let share = |(used, all): (i64, i64)| match all {
        all if all <= 0 => MAX,
        all => percent(used, all).min(MAX),
    };
    let [cpu, memory] = fractions(pod, node);
    MAX - (share(cpu) - share(memory)).abs() / 2
}

fn soft_taints(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let unwanted = node.taints().iter().filter(|taint| {
        taint.effect == "PreferNoSchedule"
            && !pod.pod.spec.tolerations.iter().any(|t| tolerates(t, taint))
    });
    i64::try_from(unwanted.count()).unwrap_or(MAX)
}

fn image_locality(pod: &PodInfo, node: &NodeInfo) -> i64 {
    if !node.has_images() {
        return 0;
    }
    let containers = &pod.pod.spec.containers;
    let count = i64::try_from(containers.len()).unwrap_or(1).max(1);
    let sum: i64 = containers.iter().map(|c| node.image_size(&c.image)).sum();
    let clamped = sum.clamp(IMAGE_MIN, IMAGE_MAX * count);
    MAX * (clamped - IMAGE_MIN) / (IMAGE_MAX * count - IMAGE_MIN)
}
