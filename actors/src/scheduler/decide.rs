//! One decision: the node for a pod, or why there is none.

use std::collections::{BTreeMap, HashMap};

use super::{
    cluster::Cluster,
    filter::{Reason, check},
    neighbours::Neighbours,
    node_info::NodeInfo,
    pod_info::{NamespaceLabels, PodInfo},
    score::score,
};

/// Clusters up to this size are looked at completely.
const MIN_FEASIBLE: usize = 100;
/// In larger ones at least this share of nodes, in percent, is enough to choose from.
const MIN_PERCENT: usize = 5;

/// Why a pod fits nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Misfit {
    nodes: usize,
    reasons: HashMap<Reason, usize>,
}

impl std::fmt::Display for Misfit {
    /// Upstream's form: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had …`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let sorted: BTreeMap<String, ()> =
            self.reasons.iter().map(|(reason, n)| (format!("{n} {reason}"), ())).collect();
        let text: Vec<_> = sorted.into_keys().collect();
        write!(f, "0/{} nodes are available: {}.", self.nodes, text.join(", "))
    }
}

/// Chooses the node. `start` rotates through the nodes from decision to decision, so that in large
/// clusters, where not all nodes are looked at, all get their share.
pub(super) fn decide(
    cluster: &Cluster,
    pod: &PodInfo,
    namespaces: NamespaceLabels<'_>,
    start: &mut usize,
) -> Result<String, Misfit> {
    let neighbours = Neighbours::count(pod, cluster, namespaces);
    let total = cluster.nodes.len();
    let enough = enough(total);
    let mut misfit = Misfit::default();
    let mut feasible: Vec<&NodeInfo> = Vec::with_capacity(enough.min(total));
    let mut reasons = Vec::new();
    let mut looked_at = 0;
    for step in 0..total {
        let Some(node) = cluster.nodes.get((*start + step) % total) else { break };
        looked_at = step + 1;
        if node.node.is_none() {
            continue;
        }
        misfit.nodes += 1;
        check(pod, node, &mut reasons);
        if reasons.is_empty() && !neighbours.is_void() {
            reasons.extend(neighbours.check(node));
        }
        if reasons.is_empty() {
            feasible.push(node);
            if feasible.len() >= enough {
                break;
            }
        }
        for reason in reasons.drain(..) {
            *misfit.reasons.entry(reason).or_default() += 1;
        }
    }
    *start = (*start + looked_at).checked_rem(total).unwrap_or(0);
    best(pod, &feasible, &neighbours).map(|node| node.name.clone()).ok_or(misfit)
}

fn best<'a>(
    pod: &PodInfo,
    feasible: &[&'a NodeInfo],
    neighbours: &Neighbours,
) -> Option<&'a NodeInfo> {
    if let [only] = feasible {
        return Some(only);
    }
    let totals = score(pod, feasible, neighbours);
    // Among equals the first wins; the rotation of the start makes that a different one each time.
    let mut best: Option<(i64, &NodeInfo)> = None;
    for (node, total) in feasible.iter().zip(totals) {
        if best.is_none_or(|(most, _)| total > most) {
            best = Some((total, node));
        }
    }
    best.map(|(_, node)| node)
}

/// Upstream's `numFeasibleNodesToFind`.
fn enough(nodes: usize) -> usize {
    if nodes <= MIN_FEASIBLE {
        return nodes.max(1);
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(MIN_PERCENT);
    (nodes * percent / 100).max(MIN_FEASIBLE)
}
