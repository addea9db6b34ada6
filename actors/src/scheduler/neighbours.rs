//! Checks that look at the pods of many nodes: pod affinity, anti-affinity and topology spread.
//! What they need is counted once per decision, then each node is a lookup.

use std::collections::{HashMap, HashSet};

use super::{
    cluster::Cluster,
    filter::{Reason, matches_node},
    node_info::NodeInfo,
    pod_info::{NamespaceLabels, PodInfo, Spread, Term},
};

/// Counts by value of one topology key.
type Domains = HashMap<String, i64>;

/// What one decision counted.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Per required affinity term: pods that match *all* terms, by domain.
    affinity: Vec<(String, Domains)>,
    /// Nothing matches the affinity terms but the pod itself: it may found the group.
    founds_group: bool,
    /// Per required anti-affinity term of the pod.
    anti: Vec<(String, Domains)>,
    /// Domains pods that are there keep this pod out of.
    forbidden: HashSet<(String, String)>,
    /// Per spread constraint: domain counts and the smallest of them.
    spread: Vec<(Spread, Domains, i64, i64)>,
    /// Weights of preferred terms, by key and domain.
    preferred: HashMap<(String, String), i64>,
}

impl Neighbours {
    pub fn count(pod: &PodInfo, cluster: &Cluster, namespaces: NamespaceLabels<'_>) -> Self {
        let mut found = Self::default();
        if !pod.affinity.is_empty() {
            found.count_affinity(pod, cluster, namespaces);
        }
        found.anti = pod
            .anti_affinity
            .iter()
            .map(|term| (term.topology_key.clone(), domains(cluster, term, namespaces)))
            .collect();
        if cluster.anti > 0 {
            found.count_forbidden(pod, cluster, namespaces);
        }
        found.spread = pod.spread.iter().map(|s| count_spread(s, pod, cluster)).collect();
        for (weight, term) in &pod.preferred {
            for (domain, count) in domains(cluster, term, namespaces) {
                let key = (term.topology_key.clone(), domain);
                *found.preferred.entry(key).or_default() += weight * count;
            }
        }
        found
    }

    fn count_affinity(&mut self, pod: &PodInfo, cluster: &Cluster, names: NamespaceLabels<'_>) {
        let wanted = |other: &PodInfo| pod.affinity.iter().all(|term| term.selects(other, names));
        for term in &pod.affinity {
            let mut counts = Domains::new();
            for node in cluster.known() {
                let here = node.pods.values().filter(|other| wanted(other)).count();
                add(&mut counts, node, &term.topology_key, here);
            }
            self.affinity.push((term.topology_key.clone(), counts));
        }
        self.founds_group =
            self.affinity.iter().all(|(_, counts)| counts.is_empty()) && wanted(pod);
    }

    fn count_forbidden(&mut self, pod: &PodInfo, cluster: &Cluster, names: NamespaceLabels<'_>) {
        for node in cluster.known().filter(|node| node.anti > 0) {
            for term in node.pods.values().flat_map(|other| &other.anti_affinity) {
                if let Some(domain) = node.label(&term.topology_key)
                    && term.selects(pod, names)
                {
                    self.forbidden.insert((term.topology_key.clone(), domain.to_owned()));
                }
            }
        }
    }

    /// Why the neighbours rule a node out, if they do.
    pub fn check(&self, node: &NodeInfo) -> Option<Reason> {
        for (spread, counts, least, own) in self.spread.iter().filter(|(s, ..)| s.hard) {
            let Some(domain) = node.label(&spread.topology_key) else {
                return Some(Reason::SpreadLabel);
            };
            let here = counts.get(domain).copied().unwrap_or(0);
            if here + own - least > spread.max_skew {
                return Some(Reason::Spread);
            }
        }
        for (key, counts) in &self.affinity {
            let domain = node.label(key);
            let met = domain.is_some_and(|d| self.founds_group || counts.contains_key(d));
            if !met {
                return Some(Reason::PodAffinity);
            }
        }
        for (key, counts) in &self.anti {
            if node.label(key).is_some_and(|domain| counts.contains_key(domain)) {
                return Some(Reason::PodAntiAffinity);
            }
        }
        if !self.forbidden.is_empty() {
            let hit =
                self.forbidden.iter().any(|(key, domain)| node.label(key) == Some(domain.as_str()));
            if hit {
                return Some(Reason::ExistingAntiAffinity);
            }
        }
        None
    }

    /// Weight of preferred terms a node meets; may be negative.
    pub fn preference(&self, node: &NodeInfo) -> i64 {
        self.preferred
            .iter()
            .filter(|((key, domain), _)| node.label(key) == Some(domain.as_str()))
            .map(|(_, weight)| weight)
            .sum()
    }

    /// Matching pods in the node's domains of soft constraints: fewer is better.
    pub fn crowding(&self, node: &NodeInfo) -> i64 {
        self.spread
            .iter()
            .filter(|(spread, ..)| !spread.hard)
            .map(|(spread, counts, ..)| {
                node.label(&spread.topology_key).and_then(|d| counts.get(d)).copied().unwrap_or(0)
            })
            .sum()
    }

    /// Whether there is anything to check or score.
    pub fn is_void(&self) -> bool {
        self.affinity.is_empty()
            && self.anti.is_empty()
            && self.forbidden.is_empty()
            && self.spread.is_empty()
            && self.preferred.is_empty()
    }
}

fn domains(cluster: &Cluster, term: &Term, namespaces: NamespaceLabels<'_>) -> Domains {
    let mut counts = Domains::new();
    for node in cluster.known() {
        let here = node.pods.values().filter(|pod| term.selects(pod, namespaces)).count();
        add(&mut counts, node, &term.topology_key, here);
    }
    counts
}

/// Counts pods in the domain of their node. Most nodes have none, so labels are looked at last.
fn add(counts: &mut Domains, node: &NodeInfo, key: &str, pods: usize) {
    if pods == 0 {
        return;
    }
    let Some(domain) = node.label(key) else { return };
    match counts.get_mut(domain) {
        Some(count) => *count += as_i64(pods),
        None => drop(counts.insert(domain.to_owned(), as_i64(pods))),
    }
}

/// Counts over the nodes the pod could be on at all, and the smallest count. `own` is 1 if the pod
/// counts itself.
fn count_spread(spread: &Spread, pod: &PodInfo, cluster: &Cluster) -> (Spread, Domains, i64, i64) {
    let meta = &pod.pod.metadata;
    let mut counts = Domains::new();
    for node in cluster.known().filter(|node| matches_node(&pod.pod, node)) {
        let Some(domain) = node.label(&spread.topology_key) else { continue };
        let matching = node.pods.values().filter(|other| {
            let its = &other.pod.metadata;
            its.namespace == meta.namespace
                && !its.is_deleting()
                && spread.selector.matches(&its.labels)
        });
        *counts.entry(domain.to_owned()).or_default() += as_i64(matching.count());
    }
    let few = as_i64(counts.len()) < spread.min_domains;
    let least = if few { 0 } else { counts.values().copied().min().unwrap_or(0) };
    let own = i64::from(spread.selector.matches(&meta.labels));
    (spread.clone(), counts, least, own)
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
