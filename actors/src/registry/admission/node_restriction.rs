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
/// Namespace of labels a node must not give itself: they say where trusted workloads may run.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Namespaces of Kubernetes' own labels, of which a node may set only those below.
const KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// Namespaces a node may use (kubelet `pkg/apis/well_known_labels.go`).
const KUBELET: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

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
    let forbidden = forbidden_labels(before, &new["metadata"]["labels"]);
    if !forbidden.is_empty() {
        let does = if old.is_some() { "modify labels" } else { "set the following labels" };
        let message = format!("is not allowed to {does}: {}", forbidden.join(", "));
        return Err(Status::forbidden(NODE, name, &message));
    }
    let Some(old) = old else { return Ok(()) };
    let changes = |part: &str, field: &str| old[part][field] != new[part][field];
    for (part, field) in [("metadata", "ownerReferences"), ("spec", "taints")] {
        if changes(part, field) {
            let message = format!("node {node:?} is not allowed to modify {field}");
            return Err(Status::forbidden(NODE, name, &message));
        }
    }
    Ok(())
}

/// The labels that differ and are not a node's to set.
fn forbidden_labels<'a>(before: &'a Value, after: &'a Value) -> Vec<&'a str> {
    let names = |labels: &'a Value| labels.as_object().into_iter().flat_map(|m| m.keys());
    let changed = names(before).chain(names(after)).map(String::as_str);
    let mut found: Vec<&str> =
        changed.filter(|l| before[*l] != after[*l] && !is_own_label(l)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn is_own_label(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| {
        namespace == domain
            || namespace.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if within(RESTRICTED) {
        return false;
    }
    !KUBERNETES.iter().any(|d| within(d))
        || KUBELET_LABELS.contains(&label)
        || KUBELET.iter().any(|d| within(d))
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
        let refused = write_node(&node("a"), Some(&itself), &labelled).unwrap_err();
        assert!(
            refused
                .message
                .ends_with("is not allowed to modify labels: node-restriction.kubernetes.io/x"),
            "{}",
            refused.message
        );
        let lease = |ns: &str| json!({"metadata": {"name": "a", "namespace": ns}});
        assert!(write_other(&node("a"), LEASE, &lease(LEASE_NAMESPACE)).is_ok());
        assert!(write_other(&node("a"), LEASE, &lease("default")).is_err());
        assert!(write_other(&node("b"), LEASE, &lease(LEASE_NAMESPACE)).is_err());
        let person = RequestInfo::of(UserInfo::certificate("jane", &[]));
        assert!(update_pod(&person, &own, Subresource::Main).is_ok());
    }
}
