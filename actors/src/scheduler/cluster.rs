//! All nodes with their pods: the snapshot decisions are made on.

use std::{collections::HashMap, sync::Arc};

use super::{node_info::NodeInfo, pod_info::PodInfo};
use crate::controllers::model::Node;

/// Nodes, by position and by name. Positions change when a node goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    pub nodes: Vec<NodeInfo>,
    by_name: HashMap<String, usize>,
    /// Where each pod is counted.
    placed: HashMap<String, String>,
    /// Pods with required anti-affinity; without any, that check is skipped.
    pub anti: usize,
}

impl Cluster {
    /// Takes a new version of a node. Returns whether pods that fitted nowhere may fit now.
    pub fn set_node(&mut self, node: Arc<Node>) -> bool {
        let at = self.position_or_new(&node.metadata.name);
        let info = &mut self.nodes[at];
        let better = info.node.as_ref().is_none_or(|old| {
            old.metadata.labels != node.metadata.labels
                || old.spec.taints != node.spec.taints
                || old.spec.unschedulable != node.spec.unschedulable
                || old.status.allocatable != node.status.allocatable
        });
        info.set_node(node);
        better
    }

    /// Forgets a node; its pods stay counted until they go themselves.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(at) = self.by_name.get(name).copied() {
            self.nodes[at].node = None;
            self.drop_if_void(at);
        }
    }

    /// Forgets all nodes, before their state is read anew.
    pub fn clear_nodes(&mut self) {
        for info in &mut self.nodes {
            info.node = None;
        }
    }

    /// Drops every pod, before their state is read anew.
    pub fn clear_pods(&mut self) {
        for uid in self.placed.keys().cloned().collect::<Vec<_>>() {
            self.remove_pod(&uid);
        }
    }

    /// Counts a pod on a node (again, if it was counted elsewhere or in another version).
    pub fn place(&mut self, node: &str, pod: Arc<PodInfo>) {
        self.remove_pod(pod.uid());
        self.placed.insert(pod.uid().to_owned(), node.to_owned());
        self.anti += usize::from(!pod.anti_affinity.is_empty());
        let at = self.position_or_new(node);
        self.nodes[at].add(pod);
    }

    /// Stops counting a pod. Returns whether it was counted.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(node) = self.placed.remove(uid) else { return false };
        if let Some(at) = self.by_name.get(&node).copied() {
            let had = self.nodes[at].anti;
            self.nodes[at].remove(uid);
            self.anti -= had - self.nodes[at].anti;
            self.drop_if_void(at);
        }
        true
    }

    /// A pod as it is counted on a node.
    pub fn pod(&self, node: &str, uid: &str) -> Option<&Arc<PodInfo>> {
        self.by_name.get(node).and_then(|at| self.nodes[*at].pods.get(uid))
    }

    /// Nodes that exist.
    pub fn known(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().filter(|info| info.node.is_some())
    }

    fn position_or_new(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.nodes.push(NodeInfo::new(name));
        self.by_name.insert(name.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn drop_if_void(&mut self, at: usize) {
        let info = &self.nodes[at];
        if info.node.is_some() || !info.pods.is_empty() {
            return;
        }
        let gone = self.nodes.swap_remove(at);
        self.by_name.remove(&gone.name);
        if let Some(moved) = self.nodes.get(at) {
            self.by_name.insert(moved.name.clone(), at);
        }
    }
}
