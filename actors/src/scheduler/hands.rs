//! What the scheduler can do to the world.

use std::sync::Arc;

use async_trait::async_trait;
use kabuki_api::{
    kind::{NAMESPACE, POD},
    status::Status,
};
use serde_json::{Value, json};

use crate::{
    controllers::framework::{Backend, Note, Stage},
    registry::{Registry, RequestInfo, Subresource, View},
};

/// The name pods ask for with `spec.schedulerName`, and the source of its events.
pub(super) const NAME: &str = "default-scheduler";

/// Binding pods and saying why not; a test has its own.
#[async_trait]
pub(super) trait Hands: Send + Sync + 'static {
    async fn bind(&self, ns: &str, pod: &str, uid: &str, node: &str) -> Result<(), Status>;

    /// Sets condition PodScheduled to False, unless the pod is bound or gone.
    async fn unschedulable(
        &self,
        ns: &str,
        pod: &str,
        uid: &str,
        message: &str,
    ) -> Result<(), Status>;

    /// Waits until it is certain what became of every bind so far, answered or not.
    async fn settle(&self) -> Result<(), Status>;

    /// The node of a pod of this uid as the store has it; `None` when it has none or is gone.
    fn node_of(&self, ns: &str, pod: &str, uid: &str) -> Option<String>;

    fn record(&self, note: Note);

    fn namespace_labels(&self, name: &str) -> Value;

    fn source(&self) -> Option<&Registry>;
}

/// The real ones.
pub(super) struct RealHands {
    pub stage: Arc<Stage>,
    pub registry: Registry,
}

#[async_trait]
impl Hands for RealHands {
    async fn bind(&self, ns: &str, pod: &str, uid: &str, node: &str) -> Result<(), Status> {
        let binding = json!({"metadata": {"name": pod, "namespace": ns, "uid": uid},
            "target": {"kind": "Node", "name": node}});
        self.registry.bind(&RequestInfo::internal(NAME), ns, pod, &binding).await
    }

    async fn unschedulable(
        &self,
        ns: &str,
        pod: &str,
        uid: &str,
        message: &str,
    ) -> Result<(), Status> {
        let now = crate::registry::stamp(self.registry.now());
        let written = self
            .registry
            .update_with_retry(POD, ns, pod, Subresource::Status, |value| {
                let bound = value["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
                let waits = value["metadata"]["uid"] == uid && !bound;
                waits && set_unschedulable(value, message, &now)
            })
            .await;
        match written {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    async fn settle(&self) -> Result<(), Status> {
        self.registry.settle().await
    }

    fn node_of(&self, ns: &str, pod: &str, uid: &str) -> Option<String> {
        let pod = self.registry.get(POD, ns, pod).filter(|pod| pod.uid() == uid)?;
        let node = pod.value()["spec"]["nodeName"].as_str().unwrap_or_default();
        (!node.is_empty()).then(|| node.to_owned())
    }

    fn record(&self, note: Note) {
        self.stage.record(NAME, note);
    }

    fn namespace_labels(&self, name: &str) -> Value {
        self.registry.get(NAMESPACE, "", name).map_or(Value::Null, |ns| ns.labels().clone())
    }

    fn source(&self) -> Option<&Registry> {
        Some(&self.registry)
    }
}

/// Returns whether anything changed.
fn set_unschedulable(pod: &mut Value, message: &str, now: &str) -> bool {
    let wanted = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": message, "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = &mut pod["status"]["conditions"];
    let Some(list) = conditions.as_array_mut() else {
        *conditions = json!([wanted]);
        return true;
    };
    let Some(old) = list.iter_mut().find(|c| c["type"] == "PodScheduled") else {
        list.push(wanted);
        return true;
    };
    if old["status"] == "False" && old["message"] == message && old["reason"] == "Unschedulable" {
        return false;
    }
    let since = old["lastTransitionTime"].clone();
    let keeps = old["status"] == "False" && since.is_string();
    *old = wanted;
    if keeps {
        old["lastTransitionTime"] = since;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_written_once_per_message() {
        let mut pod = json!({"status": {}});
        assert!(set_unschedulable(&mut pod, "no", "t1"));
        assert!(!set_unschedulable(&mut pod, "no", "t2"));
        assert!(set_unschedulable(&mut pod, "still no", "t3"));
        let condition = &pod["status"]["conditions"][0];
        assert_eq!(condition["lastTransitionTime"], "t1");
        assert_eq!(condition["message"], "still no");
    }
}
