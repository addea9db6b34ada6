//! The node's own check before it takes a pod: resources and host ports. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{
    node::NodeFacts,
    pod_view::PodView,
    resources::{Side, number, pod_total},
};

/// Why a pod is refused; goes into its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `OutOfcpu`, `OutOfmemory`, `OutOfpods`, `NodePorts`, …
    pub reason: String,
    /// Text for a human, as upstream writes it.
    pub message: String,
}

/// Whether the node can take `pod` beside `others` (terminated ones do not count).
///
/// # Errors
/// The first resource that does not suffice.
pub fn admit(pod: &Pod, others: &[Arc<Pod>], facts: &NodeFacts) -> Result<(), Refusal> {
    let others: Vec<&Pod> = others.iter().map(|p| &**p).filter(|p| !p.is_terminal()).collect();
    for name in ["pods", "cpu", "memory", "ephemeral-storage"] {
        let Some(capacity) = facts.allocatable.get(name).and_then(|q| number(name, q)) else {
            continue;
        };
        let needs = |p: &Pod| match (name, &p.spec) {
            ("pods", _) => 1,
            (_, Some(spec)) => pod_total(spec, Side::Requests, name),
            (_, None) => 0,
        };
        let used: i64 = others.iter().map(|p| needs(p)).sum();
        let requested = needs(pod);
        if requested > 0 && used + requested > capacity {
            return Err(Refusal {
                reason: format!("OutOf{name}"),
                message: format!(
                    "Pod was rejected: Node didn't have enough resource: {name}, requested: \
                     {requested}, used: {used}, capacity: {capacity}"
                ),
            });
        }
    }
    let taken: Vec<(String, i32)> = others.iter().flat_map(|p| host_ports(p)).collect();
    if host_ports(pod).iter().any(|port| taken.contains(port)) {
        return Err(Refusal {
            reason: "NodePorts".to_owned(),
            message:
                "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports \
                      for the requested pod ports"
                    .to_owned(),
        });
    }
    Ok(())
}

fn host_ports(pod: &Pod) -> Vec<(String, i32)> {
    let containers = pod.spec.iter().flat_map(|s| &s.containers);
    let ports = containers.flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0)?;
            Some((p.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), port))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(cpu: &str, port: i32) -> Arc<Pod> {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}},
            "ports": [{"containerPort": 80, "hostPort": port}]});
        Arc::new(
            serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [container]}}))
                .unwrap(),
        )
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let facts = NodeFacts::for_tests("1", "1Gi", 2);
        assert_eq!(admit(&pod("600m", 0), &[pod("400m", 0)], &facts), Ok(()));
        let refusal = admit(&pod("601m", 0), &[pod("400m", 0)], &facts).unwrap_err();
        assert_eq!(refusal.reason, "OutOfcpu");
        assert_eq!(
            refusal.message,
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 601, used: 400, \
             capacity: 1000"
        );
        let many = [pod("1m", 0), pod("1m", 0)];
        assert_eq!(admit(&pod("1m", 0), &many, &facts).unwrap_err().reason, "OutOfpods");
        let ports = admit(&pod("1m", 80), &[pod("1m", 80)], &facts);
        assert_eq!(ports.unwrap_err().reason, "NodePorts");
    }
}
