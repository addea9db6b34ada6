//! A node and the pods on it, kept up to date by difference.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::{
    pod_info::{HostPort, PodInfo},
    resources::Resources,
};
use crate::controllers::model::{Node, Taint};

/// A node as the scheduler sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeInfo {
    pub name: String,
    /// `None` while only pods of the node are known: nothing fits there.
    pub node: Option<Arc<Node>>,
    pub allocatable: Resources,
    pub requested: Resources,
    /// Millicores and bytes for scoring.
    pub weight: (i64, i64),
    pub pods: BTreeMap<String, Arc<PodInfo>>,
    /// Pods here that keep others away.
    pub anti: usize,
    families: HashMap<String, usize>,
    ports: Vec<HostPort>,
    images: HashMap<String, i64>,
}

impl NodeInfo {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes a new version of the node.
    pub fn set_node(&mut self, node: Arc<Node>) {
        self.allocatable = Resources::parse(&node.status.allocatable);
        self.images = node
            .status
            .images
            .iter()
            .flat_map(|image| image.names.iter().map(|name| (name.clone(), image.size_bytes)))
            .collect();
        self.node = Some(node);
    }

    pub fn labels(&self) -> &Value {
        self.node.as_ref().map_or(&Value::Null, |node| &node.metadata.labels)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).and_then(Value::as_str)
    }

    pub fn taints(&self) -> &[Taint] {
        self.node.as_ref().map_or(&[], |node| &node.spec.taints)
    }

    pub fn add(&mut self, pod: Arc<PodInfo>) {
        if self.pods.contains_key(pod.uid()) {
            self.remove(pod.uid());
        }
        self.requested.add(&pod.request);
        self.weight.0 += pod.weight.0;
        self.weight.1 += pod.weight.1;
        self.anti += usize::from(!pod.anti_affinity.is_empty());
        self.ports.extend(pod.host_ports.iter().cloned());
        if let Some(family) = pod.family() {
            *self.families.entry(family.to_owned()).or_default() += 1;
        }
        self.pods.insert(pod.uid().to_owned(), pod);
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.requested.subtract(&pod.request);
        self.weight.0 -= pod.weight.0;
        self.weight.1 -= pod.weight.1;
        self.anti -= usize::from(!pod.anti_affinity.is_empty());
        for port in &pod.host_ports {
            if let Some(at) = self.ports.iter().position(|p| p == port) {
                self.ports.swap_remove(at);
            }
        }
        if let Some(family) = pod.family()
            && let Some(count) = self.families.get_mut(family)
        {
            *count -= 1;
            if *count == 0 {
                self.families.remove(family);
            }
        }
    }

    /// Pods of the same manager on this node.
    pub fn relatives(&self, pod: &PodInfo) -> usize {
        pod.family().and_then(|family| self.families.get(family)).copied().unwrap_or(0)
    }

    pub fn has_free_ports(&self, pod: &PodInfo) -> bool {
        pod.host_ports.iter().all(|wanted| !self.ports.iter().any(|used| used.clashes(wanted)))
    }

    /// Whether the node tells which images it has.
    pub fn has_images(&self) -> bool {
        !self.images.is_empty()
    }

    /// Bytes of an image that is here already.
    pub fn image_size(&self, image: &str) -> i64 {
        self.images.get(image).copied().unwrap_or(0)
    }
}
