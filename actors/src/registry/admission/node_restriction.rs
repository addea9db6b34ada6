//! NodeRestriction: a node (user `system:node:<name>` in group `system:nodes`) writes only its own
//! Node and Lease and the pods bound to it.

use kabuki_api::{
    kind::{Kind, LEASE, NODE, POD},
    status::Status,
};
use serde_json::Value;

use super::{
    super::{
        object::{Object, text},
        options::{RequestInfo, Subresource},
    },
    service_account::MIRROR,
};

/// Namespace of node leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Labels a node must not give itself: they say where trusted workloads may run.
const RESTRICTED_LABELS: &str = "node-restriction.kubernetes.io/";

fn node_of(info: &RequestInfo) -> Option<&str> {
    info.user.node_name()
}

pub(super) fn create_pod(info: &RequestInfo, pod: &Value) -> Result<(), Status> {
    let Some(node) = node_of(info) else { return Ok(()) };
    let name = text(&pod["metadata"], "name");
    if !pod["metadata"]["annotations"][MIRROR].is_string() {
        let message = format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        );
        return Err(Status::forbidden(POD, name, &message));
    }
    if text(&pod["spec"], "nodeName") != node {
        let message =
            format!("node {node:?} can only create pods with spec.nodeName set to itself");
        return Err(Status::forbidden(POD, name, &message));
    }
    Ok(())
}

/// A status update or a delete; anything else a node may not do to a pod.
pub(super) fn update_pod(info: &RequestInfo, old: &Value, sub: Subresource) -> Result<(), Status> {
    let Some(node) = node_of(info) else { return Ok(()) };
    if text(&old["spec"], "nodeName") == node {
        return Ok(());
    }
    let verb = if sub == Subresource::Status { "update pod status for" } else { "delete" };
    let message = format!("node {node:?} can only {verb} pods with spec.nodeName set to itself");
    Err(Status::forbidden(POD, text(&old["metadata"], "name"), &message))
}

pub(super) fn write_node(
    info: &RequestInfo,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Status> {
    let Some(node) = node_of(info) else { return Ok(()) };
    let name = text(&new["metadata"], "name");
    if name != node {
        let message = format!("node {node:?} is not allowed to modify node {name:?}");
        return Err(Status::forbidden(NODE, name, &message));
    }
    let none = Value::Null;
    let before = old.map_or(&none, |o| &o["metadata"]["labels"]);
    let after = &new["metadata"]["labels"];
    if restricted(before) != restricted(after) {
        let message = format!(
            "node {node:?} is not allowed to set or change labels with prefix {RESTRICTED_LABELS}"
        );
        return Err(Status::forbidden(NODE, name, &message));
    }
    if let Some(old) = old
        && old["spec"]["taints"] != new["spec"]["taints"]
    {
        let message = format!("node {node:?} is not allowed to modify taints");
        return Err(Status::forbidden(NODE, name, &message));
    }
    Ok(())
}

fn restricted(labels: &Value) -> Vec<(&String, &Value)> {
    let Some(map) = labels.as_object() else { return Vec::new() };
    map.iter().filter(|(k, _)| k.starts_with(RESTRICTED_LABELS)).collect()
}

pub(super) fn delete_node(info: &RequestInfo, object: &Object) -> Result<(), Status> {
    let Some(node) = node_of(info) else { return Ok(()) };
    if object.name() == node {
        return Ok(());
    }
    let message = format!("node {node:?} is not allowed to delete node {:?}", object.name());
    Err(Status::forbidden(NODE, object.name(), &message))
}

pub(super) fn write_other(info: &RequestInfo, kind: &Kind, object: &Value) -> Result<(), Status> {
    let Some(node) = node_of(info).filter(|_| kind == LEASE) else { return Ok(()) };
    let (ns, name) = (text(&object["metadata"], "namespace"), text(&object["metadata"], "name"));
    if ns != LEASE_NAMESPACE {
        let message = format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace");
        return Err(Status::forbidden(kind, name, &message));
    }
    if name != node {
        return Err(Status::forbidden(
            kind,
            name,
            "can only access node lease with the same name as the requesting node",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::UserInfo;

    fn node(name: &str) -> RequestInfo {
        RequestInfo::of(UserInfo::certificate(
            &format!("system:node:{name}"),
            &["system:nodes".to_owned()],
        ))
    }

    #[test]
    fn a_node_writes_only_what_is_its_own() {
        let own = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "a"}});
        assert!(update_pod(&node("a"), &own, Subresource::Status).is_ok());
        assert_eq!(update_pod(&node("b"), &own, Subresource::Status).unwrap_err().code, 403);
        let itself = json!({"metadata": {"name": "a", "labels": {"x": "y"}}});
        assert!(write_node(&node("a"), None, &itself).is_ok());
        assert!(write_node(&node("b"), None, &itself).is_err());
        let labelled =
            json!({"metadata": {"name": "a", "labels": {"node-restriction.kubernetes.io/x": "y"}}});
        assert!(write_node(&node("a"), Some(&itself), &labelled).is_err());
        let lease = |ns: &str| json!({"metadata": {"name": "a", "namespace": ns}});
        assert!(write_other(&node("a"), LEASE, &lease(LEASE_NAMESPACE)).is_ok());
        assert!(write_other(&node("a"), LEASE, &lease("default")).is_err());
        assert!(write_other(&node("b"), LEASE, &lease(LEASE_NAMESPACE)).is_err());
        let person = RequestInfo::of(UserInfo::certificate("jane", &[]));
        assert!(update_pod(&person, &own, Subresource::Main).is_ok());
    }
}
