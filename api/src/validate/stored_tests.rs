//! What upstream says about wrong objects of networking, policy, scaling, storage and flow control.

use serde_json::{Value, json};

use super::{
    tests::{errors, lay, ready},
    *,
};
use crate::kind;

fn good(kind: &Kind) -> Value {
    let mut object = match kind.kind {
        "Ingress" => json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/",
            "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
        "IngressClass" => json!({"spec": {"controller": "a.b/c"}}),
        "NetworkPolicy" => json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock":
            {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80, "endPort": 90}]}]}}),
        "PodDisruptionBudget" => json!({"spec": {"minAvailable": "50%", "selector": {}}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}},
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}}}),
        "StorageClass" => json!({"provisioner": "a.b/c", "parameters": {"k": "v"}}),
        "CSIDriver" => json!({"spec": {}}),
        "CSINode" => json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}]}}),
        "CSIStorageCapacity" => json!({"storageClassName": "c", "capacity": "1Gi"}),
        "VolumeAttachment" => json!({"spec": {"attacher": "a", "nodeName": "n",
            "source": {"persistentVolumeName": "v"}}}),
        "VolumeAttributesClass" => json!({"driverName": "d", "parameters": {"iops": "1"}}),
        "RuntimeClass" => json!({"handler": "h"}),
        "FlowSchema" => json!({"spec": {"priorityLevelConfiguration": {"name": "p"}, "rules": [
            {"subjects": [{"kind": "Group", "group": {"name": "g"}}], "nonResourceRules":
                [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}),
        _ => json!({"spec": {"type": "Limited", "limited": {"limitResponse":
            {"type": "Queue", "queuing": {}}}}}),
    };
    object["metadata"] = json!({"name": "x"});
    if kind.namespaced {
        object["metadata"]["namespace"] = "d".into();
    }
    object
}

#[test]
fn good_ones_pass() {
    for kind in [
        kind::INGRESS,
        kind::INGRESS_CLASS,
        kind::NETWORK_POLICY,
        kind::POD_DISRUPTION_BUDGET,
        kind::HORIZONTAL_POD_AUTOSCALER,
        kind::HORIZONTAL_POD_AUTOSCALER_V1,
        kind::STORAGE_CLASS,
        kind::CSI_DRIVER,
        kind::CSI_NODE,
        kind::CSI_STORAGE_CAPACITY,
        kind::VOLUME_ATTACHMENT,
        kind::VOLUME_ATTRIBUTES_CLASS,
        kind::RUNTIME_CLASS,
        kind::FLOW_SCHEMA,
        kind::PRIORITY_LEVEL_CONFIGURATION,
    ] {
        let mut object = good(kind);
        if kind == kind::HORIZONTAL_POD_AUTOSCALER_V1 {
            object["spec"].as_object_mut().unwrap().remove("behavior");
        }
        assert_eq!(errors(kind, object.clone()), [] as [&str; 0], "{}", kind.kind);
        let stored = ready(kind, object);
        assert_eq!(update(kind, &stored, &stored), [], "{}", kind.kind);
    }
}

#[test]
fn refusals_are_upstreams() {
    for (kind, patch, want) in [
        (
            kind::INGRESS,
            json!({"spec": {"rules": null}}),
            "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
        (
            kind::INGRESS,
            json!({"spec": {"rules": [{"host": "1.2.3.4"}]}}),
            "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
        ),
        (
            kind::INGRESS,
            json!({"spec": {"rules": [{"http": {"paths": [{"path": "x", "backend":
                {"service": {"name": "s", "port": {"name": "http"}}}}]}}]}}),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            kind::INGRESS,
            json!({"spec": {"defaultBackend": {"service": {"name": "s"}}}}),
            "spec.defaultBackend: Required value: port name or number is required",
        ),
        (
            kind::NETWORK_POLICY,
            json!({"spec": {"ingress": [{"from": [{}]}]}}),
            "spec.ingress[0].from[0]: Required value: must specify a peer",
        ),
        (
            kind::NETWORK_POLICY,
            json!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8",
                "except": ["11.0.0.0/16"]}}]}]}}),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
        ),
        (
            kind::NETWORK_POLICY,
            json!({"spec": {"ingress": [{"ports": [{"port": "http", "endPort": 90}]}]}}),
            "spec.ingress[0].ports[0].endPort: Forbidden: may not be specified when `port` is non-numeric",
        ),
        (
            kind::HORIZONTAL_POD_AUTOSCALER,
            json!({"spec": {"minReplicas": 5}}),
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            kind::HORIZONTAL_POD_AUTOSCALER,
            json!({"spec": {"metrics": [{"type": "Pods"}]}}),
            "spec.metrics[0].pods: Required value: must populate information for the given metric source",
        ),
        (kind::STORAGE_CLASS, json!({"provisioner": ""}), "provisioner: Required value"),
        (
            kind::STORAGE_CLASS,
            json!({"reclaimPolicy": "Keep"}),
            "reclaimPolicy: Unsupported value: \"Keep\": supported values: \"Delete\", \"Retain\"",
        ),
        (
            kind::FLOW_SCHEMA,
            json!({"spec": {"matchingPrecedence": 20_000}}),
            "spec.matchingPrecedence: Invalid value: 20000: must not be greater than 10000",
        ),
        (kind::RUNTIME_CLASS, json!({"handler": ""}), "handler: Required value"),
    ] {
        let mut object = good(kind);
        lay(&mut object, patch.clone());
        assert_eq!(errors(kind, object).join("; "), want, "{} {patch}", kind.kind);
    }
    let mut both = good(kind::POD_DISRUPTION_BUDGET);
    both["spec"]["maxUnavailable"] = 1.into();
    let found = errors(kind::POD_DISRUPTION_BUDGET, both);
    assert!(found[0].ends_with("minAvailable and maxUnavailable cannot be both set"), "{found:?}");
}

#[test]
fn changes_that_are_refused() {
    for (kind, patch, want) in [
        (
            kind::STORAGE_CLASS,
            json!({"provisioner": "other"}),
            "provisioner: Forbidden: updates to provisioner are forbidden.",
        ),
        (kind::STORAGE_CLASS, json!({"allowVolumeExpansion": true}), ""),
        (
            kind::INGRESS_CLASS,
            json!({"spec": {"controller": "d.e/f"}}),
            "spec.controller: Invalid value: \"d.e/f\": field is immutable",
        ),
        (
            kind::RUNTIME_CLASS,
            json!({"handler": "i"}),
            "handler: Invalid value: \"i\": field is immutable",
        ),
        (
            kind::CSI_DRIVER,
            json!({"spec": {"attachRequired": false}}),
            "spec.attachRequired: Invalid value: false: field is immutable",
        ),
    ] {
        let old = ready(kind, good(kind));
        let mut new = old.clone();
        lay(&mut new, patch.clone());
        let found: Vec<String> = update(kind, &new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(found.join("; "), want, "{} {patch}", kind.kind);
    }
}
