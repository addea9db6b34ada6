//! Nodes that come, fall silent and go.

use std::collections::BTreeSet;

use kabuki_api::kind::{DEPLOYMENT, NODE, POD};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use super::{
    Scenario, World,
    checks::{bound_once_and_fitting, is_active, never_too_many, ranges_are_unique},
    history::History,
    storm,
};
use crate::registry::DeleteOptions;

const SIZE: usize = 6;

/// A fleet under a Deployment.
#[derive(Default)]
struct Fleet {
    joined: u32,
    removed: BTreeSet<String>,
}

impl Scenario for Fleet {
    fn nodes(&self) -> &'static [&'static str] {
        &["a1", "a2", "a3", "a4"]
    }

    async fn begin(&mut self, world: &World) {
        let tolerate = |key: &str| {
            json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": 5})
        };
        let spec = json!({"replicas": SIZE, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "tolerations": [tolerate("unreachable"), tolerate("not-ready")],
                "containers": [{"name": "c", "image": "i"}]}}});
        let web = json!({"metadata": {"name": "web"}, "spec": spec});
        world.create(DEPLOYMENT, "default", web).await;
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        match rng.random_range(0..8) {
            0 | 1 => {
                for _ in 0..rng.random_range(1..4) {
                    self.joined += 1;
                    world.join(&format!("b{}", self.joined));
                }
            }
            2 => {
                world.cut_off.lock().insert("a4".into());
            }
            3 => {
                world.cut_off.lock().remove("a4");
            }
            4 if self.removed.len() < 3 => {
                let nodes = world.objects(NODE, None);
                let Some(node) = nodes.iter().find(|n| n.name().starts_with('b')) else { return };
                world.cut_off.lock().insert(node.name().to_owned());
                self.removed.insert(node.name().to_owned());
                world.delete(node, DeleteOptions::background()).await;
            }
            _ => {}
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        world.cut_off.lock().remove("a4");
        let nodes = world.objects(NODE, None);
        let wanted = 4 + self.joined as usize - self.removed.len();
        if nodes.len() != wanted {
            return Err(format!("{} nodes, not {wanted}", nodes.len()));
        }
        let mut ranges = BTreeSet::new();
        for node in &nodes {
            let spec = &node.value()["spec"];
            let range =
                spec["podCIDR"].as_str().ok_or_else(|| format!("{} has no range", node.name()))?;
            ranges.insert(range.to_owned());
            if spec["taints"].as_array().is_some_and(|taints| !taints.is_empty()) {
                return Err(format!("{} has taints {}", node.name(), spec["taints"]));
            }
        }
        let pods = world.objects(POD, Some("default"));
        let names: BTreeSet<&str> = nodes.iter().map(|n| n.name()).collect();
        let strange = pods
            .iter()
            .find(|p| !names.contains(p.value()["spec"]["nodeName"].as_str().unwrap_or_default()));
        if let Some(pod) = strange {
            return Err(format!(
                "{} is on no node: {}",
                pod.name(),
                pod.value()["spec"]["nodeName"]
            ));
        }
        let running = pods.iter().filter(|p| {
            let conditions = p.value()["status"]["conditions"].as_array().cloned();
            let ready = |c: &serde_json::Value| c["type"] == "Ready" && c["status"] == "True";
            is_active(p.value()) && conditions.unwrap_or_default().iter().any(ready)
        });
        match (running.count(), pods.len(), ranges.len()) {
            (SIZE, SIZE, ranges) if ranges == nodes.len() => Ok(()),
            found => Err(format!("running pods, pods, ranges: {found:?}")),
        }
    }

    fn check(&self, _world: &World, history: &History) -> Result<(), String> {
        ranges_are_unique(history)?;
        never_too_many(history)?;
        bound_once_and_fitting(history)
    }
}

#[test]
fn nodes_come_fall_silent_and_go() {
    storm(Fleet::default);
}
