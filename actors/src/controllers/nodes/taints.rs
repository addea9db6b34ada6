//! The taints the node controller owns, and which of them a node should have.

use crate::controllers::model::{Condition, Node, Taint, Time, condition};

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away while they are True.
const PRESSURES: &[(&str, &str)] = &[
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// All taints of a node as they should be: foreign ones as they are, ours by its conditions.
/// `may_evict` is false while no node at all is ready: then it is likelier that the control plane is
/// the one cut off.
pub(super) fn wanted(node: &Node, may_evict: bool, now: Time) -> Vec<Taint> {
    let mut ours: Vec<(&str, &str)> = Vec::new();
    let ready = condition(&node.status.conditions, "Ready").map(|c| c.status.as_str());
    match ready {
        Some("True") => {}
        Some("Unknown") => {
            ours.push((UNREACHABLE, "NoSchedule"));
            if may_evict {
                ours.push((UNREACHABLE, "NoExecute"));
            }
        }
        Some(_) => {
            ours.push((NOT_READY, "NoSchedule"));
            if may_evict {
                ours.push((NOT_READY, "NoExecute"));
            }
        }
        // It has not reported yet.
        None => ours.push((NOT_READY, "NoSchedule")),
    }
    for (kind, key) in PRESSURES {
        if condition(&node.status.conditions, kind).is_some_and(Condition::is_true) {
            ours.push((key, "NoSchedule"));
        }
    }
    if node.spec.unschedulable {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let mut taints: Vec<Taint> =
        node.spec.taints.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    for (key, effect) in ours {
        let known = node.spec.taints.iter().find(|t| t.key == key && t.effect == effect);
        taints.push(known.cloned().unwrap_or_else(|| Taint {
            key: key.into(),
            effect: effect.into(),
            value: String::new(),
            time_added: Some(now),
        }));
    }
    taints
}

fn is_ours(taint: &Taint) -> bool {
    let key = taint.key.as_str();
    match taint.effect.as_str() {
        "NoSchedule" => {
            matches!(key, NOT_READY | UNREACHABLE | UNSCHEDULABLE)
                || PRESSURES.iter().any(|(_, ours)| *ours == key)
        }
        "NoExecute" => matches!(key, NOT_READY | UNREACHABLE),
        _ => false,
    }
}

/// Whether both lists hold the same taints, in whatever order.
pub(super) fn same(a: &[Taint], b: &[Taint]) -> bool {
    a.len() == b.len() && a.iter().all(|taint| b.contains(taint))
}
