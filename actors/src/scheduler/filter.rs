//! Why a node cannot take a pod, as far as that one node tells.

use std::sync::Arc;

use super::{node_info::NodeInfo, pod_info::PodInfo};
use crate::controllers::model::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration,
};

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Upstream's texts; people and tools match them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    Unschedulable,
    NodeName,
    Taint,
    Affinity,
    Ports,
    TooManyPods,
    Insufficient(Arc<str>),
    Spread,
    SpreadLabel,
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unschedulable => "node(s) were unschedulable",
            Self::NodeName => "node(s) didn't match the requested node name",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::Affinity => "node(s) didn't match Pod's node affinity/selector",
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient(resource) => return write!(f, "Insufficient {resource}"),
            Self::Spread => "node(s) didn't match pod topology spread constraints",
            Self::SpreadLabel => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::PodAffinity => "node(s) didn't match pod affinity rules",
            Self::PodAntiAffinity => "node(s) didn't match pod anti-affinity rules",
            Self::ExistingAntiAffinity => {
                "node(s) didn't satisfy existing pods anti-affinity rules"
            }
        })
    }
}

/// Checks one node in upstream's order. The first check that fails tells its reasons.
pub(super) fn check(pod: &PodInfo, node: &NodeInfo, reasons: &mut Vec<Reason>) {
    let Some(object) = &node.node else { return reasons.push(Reason::NodeName) };
    let spec = &pod.pod.spec;
    if object.spec.unschedulable {
        let taint =
            Taint { key: UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Taint::default() };
        if !spec.tolerations.iter().any(|t| tolerates(t, &taint)) {
            return reasons.push(Reason::Unschedulable);
        }
    }
    if !spec.node_name.is_empty() && spec.node_name != node.name {
        return reasons.push(Reason::NodeName);
    }
    if untolerated(&spec.tolerations, node.taints(), &["NoSchedule", "NoExecute"]).is_some() {
        return reasons.push(Reason::Taint);
    }
    if !matches_node(&pod.pod, node) {
        return reasons.push(Reason::Affinity);
    }
    if !node.has_free_ports(pod) {
        return reasons.push(Reason::Ports);
    }
    check_room(pod, node, reasons);
}

fn check_room(pod: &PodInfo, node: &NodeInfo, reasons: &mut Vec<Reason>) {
    let (want, have, used) = (&pod.request, &node.allocatable, &node.requested);
    if used.pods + 1 > have.pods {
        reasons.push(Reason::TooManyPods);
    }
    for (name, want, have, used) in [
        ("cpu", want.milli_cpu, have.milli_cpu, used.milli_cpu),
        ("memory", want.memory, have.memory, used.memory),
        ("ephemeral-storage", want.ephemeral, have.ephemeral, used.ephemeral),
    ] {
        if want > 0 && want > have - used {
            reasons.push(Reason::Insufficient(name.into()));
        }
    }
    for (name, want) in want.other.iter().filter(|(_, want)| **want > 0) {
        let amount = |of: &super::resources::Resources| of.other.get(name).copied().unwrap_or(0);
        if *want > amount(have) - amount(used) {
            reasons.push(Reason::Insufficient(Arc::clone(name)));
        }
    }
}

/// The first taint of one of these effects that no toleration covers.
pub(crate) fn untolerated<'a>(
    tolerations: &[Toleration],
    taints: &'a [Taint],
    effects: &[&str],
) -> Option<&'a Taint> {
    taints.iter().find(|taint| {
        effects.contains(&taint.effect.as_str())
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    })
}

/// Whether one toleration covers one taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let covers = |wanted: &str, actual: &str| wanted.is_empty() || wanted == actual;
    if !covers(&toleration.effect, &taint.effect) || !covers(&toleration.key, &taint.key) {
        return false;
    }
    match toleration.operator.as_str() {
        "Exists" => true,
        // An empty key matches everything only with Exists.
        _ => !toleration.key.is_empty() && toleration.value == taint.value,
    }
}

/// Node selector and required node affinity.
pub(super) fn matches_node(pod: &Pod, node: &NodeInfo) -> bool {
    let spec = &pod.spec;
    spec.node_selector.iter().all(|(key, value)| node.label(key) == Some(value))
        && spec.affinity.node_affinity.required.as_ref().is_none_or(|s| selects(s, node))
}

fn selects(selector: &NodeSelector, node: &NodeInfo) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, node))
}

/// Whether a node meets all requirements; a term without any matches nothing.
pub(super) fn matches_term(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return false;
    }
    term.match_expressions.iter().all(|r| meets(r, node.label(&r.key)))
        && term
            .match_fields
            .iter()
            .all(|r| r.key == "metadata.name" && meets(r, Some(node.name.as_str())))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = value.is_some_and(|v| requirement.values.iter().any(|w| w == v));
    let compare = |ok: fn(i64, i64) -> bool| {
        let wanted = requirement.values.first().and_then(|text| text.parse::<i64>().ok());
        let actual = value.and_then(|text| text.parse::<i64>().ok());
        wanted.zip(actual).is_some_and(|(wanted, actual)| ok(actual, wanted))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|a, b| a > b),
        "Lt" => compare(|a, b| a < b),
        _ => false,
    }
}
