//! A pod as the scheduler sees it: computed once per version of the pod.

use std::{collections::BTreeSet, sync::Arc};

use kabuki_api::selector::LabelSelector;
use serde_json::Value;

use super::resources::{Resources, requested, requested_for_score};
use crate::controllers::model::{Pod, PodAffinityTerm};

/// A port on the node itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node: same port, and addresses that overlap.
    pub fn clashes(&self, other: &Self) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// A pod affinity term with its selectors parsed.
#[derive(Debug, Clone)]
pub(super) struct Term {
    selector: LabelSelector,
    namespaces: BTreeSet<String>,
    /// Selects namespaces by label; `None` without `namespaceSelector`.
    namespace_selector: Option<LabelSelector>,
    pub topology_key: String,
}

/// Labels of a namespace, for `namespaceSelector`.
pub(super) type NamespaceLabels<'a> = &'a dyn Fn(&str) -> Value;

impl Term {
    fn new(term: &PodAffinityTerm, namespace: &str) -> Self {
        let selector = |value: &Value| {
            LabelSelector::from_object(value).unwrap_or_else(|_| LabelSelector::nothing())
        };
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().cloned().collect();
        let by_label =
            (!term.namespace_selector.is_null()).then(|| selector(&term.namespace_selector));
        if namespaces.is_empty() && by_label.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Self {
            selector: selector(&term.label_selector),
            namespaces,
            namespace_selector: by_label,
            topology_key: term.topology_key.clone(),
        }
    }

    /// Whether the term means this pod.
    pub fn selects(&self, pod: &PodInfo, namespaces: NamespaceLabels<'_>) -> bool {
        let meta = &pod.pod.metadata;
        if !self.selector.matches(&meta.labels) {
            return false;
        }
        self.namespaces.contains(&meta.namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                selector.is_everything() || selector.matches(&namespaces(&meta.namespace))
            })
    }
}

/// `topologySpreadConstraints[]` with its selector parsed.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    pub selector: LabelSelector,
    pub topology_key: String,
    pub max_skew: i64,
    pub min_domains: i64,
    pub hard: bool,
}

/// A pod with everything that scheduling computes from it.
#[derive(Debug, Clone)]
pub(super) struct PodInfo {
    pub pod: Arc<Pod>,
    pub request: Resources,
    /// Millicores and bytes for scoring.
    pub weight: (i64, i64),
    pub host_ports: Vec<HostPort>,
    pub affinity: Vec<Term>,
    pub anti_affinity: Vec<Term>,
    pub preferred: Vec<(i64, Term)>,
    pub spread: Vec<Spread>,
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> Self {
        let namespace = pod.metadata.namespace.as_str();
        let terms = |list: &[PodAffinityTerm]| -> Vec<Term> {
            list.iter().map(|term| Term::new(term, namespace)).collect()
        };
        let affinity = &pod.spec.affinity;
        let wish = |sign: i64| {
            move |w: &crate::controllers::model::WeightedPodAffinityTerm| {
                (sign * w.weight, Term::new(&w.pod_affinity_term, namespace))
            }
        };
        let preferred = affinity.pod_affinity.preferred.iter().map(wish(1));
        let avoided = affinity.pod_anti_affinity.preferred.iter().map(wish(-1));
        Self {
            request: requested(&pod.spec),
            weight: requested_for_score(&pod.spec),
            host_ports: host_ports(&pod),
            affinity: terms(&affinity.pod_affinity.required),
            anti_affinity: terms(&affinity.pod_anti_affinity.required),
            preferred: preferred.chain(avoided).collect(),
            spread: pod.spec.topology_spread_constraints.iter().map(spread).collect(),
            pod,
        }
    }

    pub fn uid(&self) -> &str {
        &self.pod.metadata.uid
    }

    /// What groups pods for spreading without constraints: their manager.
    pub fn family(&self) -> Option<&str> {
        self.pod.metadata.controller().map(|owner| owner.uid.as_str())
    }

    /// Whether placing or removing other pods can change where this one fits, besides room.
    pub fn looks_at_pods(&self) -> bool {
        !self.affinity.is_empty() || !self.anti_affinity.is_empty() || !self.spread.is_empty()
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy == "Always");
    pod.spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| &container.ports)
        .filter(|port| port.host_port > 0)
        .map(|port| HostPort {
            ip: port.host_ip.clone(),
            protocol: port.protocol.clone(),
            port: port.host_port,
        })
        .collect()
}

fn spread(constraint: &crate::controllers::model::TopologySpreadConstraint) -> Spread {
    Spread {
        selector: LabelSelector::from_object(&constraint.label_selector)
            .unwrap_or_else(|_| LabelSelector::nothing()),
        topology_key: constraint.topology_key.clone(),
        max_skew: constraint.max_skew.max(1),
        min_domains: constraint.min_domains.unwrap_or(1),
        hard: constraint.when_unsatisfiable != "ScheduleAnyway",
    }
}
