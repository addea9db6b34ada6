//! What a node may do: the fixed rules of upstream's node authorizer, where reads of Secrets,
//! ConfigMaps and tokens of service accounts are limited to what the node's pods name.

use kabuki_api::kind::POD;
use serde_json::Value;

use super::attributes::Attributes;
use crate::registry::View;

/// (verbs, group, resources) a node always has; admission limits writes to its own objects.
const RULES: &[(&[&str], &str, &[&str])] = &[
    (&["create"], "authentication.k8s.io", &["tokenreviews"]),
    (&["create"], "authorization.k8s.io", &["subjectaccessreviews", "localsubjectaccessreviews"]),
    (&["get", "list", "watch"], "", &["services"]),
    (&["create", "get", "list", "watch"], "", &["nodes"]),
    (&["update", "patch"], "", &["nodes", "nodes/status"]),
    (&["create", "update", "patch"], "", &["events"]),
    (&["create", "update", "patch"], "events.k8s.io", &["events"]),
    (&["get", "list", "watch"], "", &["pods"]),
    (&["create", "delete"], "", &["pods"]),
    (&["update", "patch"], "", &["pods/status"]),
    (&["create"], "", &["pods/eviction"]),
    (&["get", "list", "watch"], "discovery.k8s.io", &["endpointslices"]),
    (&["get", "list", "watch"], "", &["namespaces"]),
    (&["create", "get", "update", "patch", "delete"], "coordination.k8s.io", &["leases"]),
    (&["get", "list", "watch"], "scheduling.k8s.io", &["priorityclasses"]),
    (&["create", "get", "list", "watch"], "certificates.k8s.io", &["certificatesigningrequests"]),
    (&["get", "list", "watch"], "node.k8s.io", &["runtimeclasses"]),
    (&["get", "list", "watch"], "storage.k8s.io", &["csidrivers"]),
];

/// Whether a node may do this.
pub(super) fn allows(view: &dyn View, node: &str, a: &Attributes<'_>) -> bool {
    if !a.is_resource() {
        return false;
    }
    match (a.group, a.resource, a.subresource) {
        ("", "secrets" | "configmaps", "") => {
            // A list or watch counts as a read of the one name its field selector gives.
            matches!(a.verb, "get" | "list" | "watch")
                && !a.name.is_empty()
                && !a.namespace.is_empty()
                && pods_of(view, node, a.namespace, |pod| {
                    references(pod, a.resource == "secrets", a.name)
                })
        }
        ("", "serviceaccounts", "token") => {
            a.verb == "create"
                && pods_of(view, node, a.namespace, |pod| {
                    pod["spec"]["serviceAccountName"] == a.name
                })
        }
        ("", "serviceaccounts", "") => {
            a.verb == "get"
                && pods_of(view, node, a.namespace, |pod| {
                    pod["spec"]["serviceAccountName"] == a.name
                })
        }
        _ => {
            let full = a.full_resource();
            RULES.iter().any(|(verbs, group, resources)| {
                *group == a.group && verbs.contains(&a.verb) && resources.contains(&full.as_str())
            })
        }
    }
}

fn pods_of(view: &dyn View, node: &str, ns: &str, wanted: impl Fn(&Value) -> bool) -> bool {
    view.list(POD, Some(ns))
        .iter()
        .map(|pod| pod.value())
        .any(|pod| pod["spec"]["nodeName"] == node && wanted(pod))
}

/// Whether a pod names a Secret (or ConfigMap): in a volume, in an environment, to pull images.
fn references(pod: &Value, secret: bool, name: &str) -> bool {
    let spec = &pod["spec"];
    let (volume, name_field, projected, env_ref, key_ref) = if secret {
        ("secret", "secretName", "secret", "secretRef", "secretKeyRef")
    } else {
        ("configMap", "name", "configMap", "configMapRef", "configMapKeyRef")
    };
    let in_volume = |v: &Value| {
        v[volume][name_field] == name
            || items(&v["projected"]["sources"]).any(|s| s[projected]["name"] == name)
    };
    let in_container = |c: &Value| {
        items(&c["envFrom"]).any(|e| e[env_ref]["name"] == name)
            || items(&c["env"]).any(|e| e["valueFrom"][key_ref]["name"] == name)
    };
    items(&spec["volumes"]).any(in_volume)
        || ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .any(|list| items(&spec[*list]).any(in_container))
        || (secret && items(&spec["imagePullSecrets"]).any(|s| s["name"] == name))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn a_node_reads_what_its_pods_name() {
        let view = MemView::new().with(
            POD,
            json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {"nodeName": "a",
                "serviceAccountName": "sa",
                "volumes": [{"name": "v", "secret": {"secretName": "vol"}},
                    {"name": "t", "projected": {"sources": [{"configMap": {"name": "root"}}]}}],
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}}],
                    "envFrom": [{"configMapRef": {"name": "all"}}]}]}}),
        );
        for (node, verb, resource, sub, ns, name, want) in [
            ("a", "get", "secrets", "", "d", "vol", true),
            ("a", "get", "secrets", "", "d", "env", true),
            ("a", "watch", "secrets", "", "d", "pull", true),
            ("a", "get", "secrets", "", "d", "other", false),
            ("a", "list", "secrets", "", "d", "", false),
            ("a", "get", "secrets", "", "e", "vol", false),
            ("b", "get", "secrets", "", "d", "vol", false),
            ("a", "update", "secrets", "", "d", "vol", false),
            ("a", "get", "configmaps", "", "d", "root", true),
            ("a", "get", "configmaps", "", "d", "all", true),
            ("a", "get", "configmaps", "", "d", "vol", false),
            ("a", "create", "serviceaccounts", "token", "d", "sa", true),
            ("b", "create", "serviceaccounts", "token", "d", "sa", false),
            ("a", "update", "pods", "status", "d", "p", true),
            ("a", "update", "pods", "", "d", "p", false),
            ("a", "list", "nodes", "", "", "", true),
            ("a", "delete", "nodes", "", "", "x", false),
        ] {
            let a = Attributes {
                verb,
                resource,
                subresource: sub,
                namespace: ns,
                name,
                ..Attributes::default()
            };
            assert_eq!(allows(&view, node, &a), want, "{node} {a:?}");
        }
    }
}
