//! Golden rows of networking, scaling, storage and flow control.

use serde_json::{Value, json};

use super::tests::{cells, meta};
use crate::kind;

#[test]
fn networking() {
    let mut ingress =
        json!({"metadata": meta("i"), "spec": {"rules": [{"host": "a.b"}, {"host": "c.d"}]}});
    assert_eq!(cells(kind::INGRESS, &ingress), ["i", "<none>", "a.b,c.d", "", "80", "5m"]);
    ingress["spec"] = json!({"ingressClassName": "nginx", "tls": [{}], "rules": [{}]});
    ingress["status"] =
        json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "h"}]}});
    assert_eq!(cells(kind::INGRESS, &ingress), ["i", "nginx", "*", "1.2.3.4,h", "80, 443", "5m"]);
    let mut class = json!({"metadata": meta("c"), "spec": {"controller": "a.b/c"}});
    assert_eq!(cells(kind::INGRESS_CLASS, &class), ["c", "a.b/c", "<none>", "5m"]);
    class["metadata"]["annotations"] =
        json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    class["spec"]["parameters"] = json!({"apiGroup": "g", "kind": "K", "name": "n"});
    assert_eq!(cells(kind::INGRESS_CLASS, &class), ["c (default)", "a.b/c", "K.g/n", "5m"]);
    let policy =
        json!({"metadata": meta("p"), "spec": {"podSelector": {"matchLabels": {"a": "b"}}}});
    assert_eq!(cells(kind::NETWORK_POLICY, &policy), ["p", "a=b", "5m"]);
    let budget = json!({"metadata": meta("b"), "spec": {"minAvailable": "50%"},
        "status": {"disruptionsAllowed": 2}});
    assert_eq!(cells(kind::POD_DISRUPTION_BUDGET, &budget), ["b", "50%", "N/A", "2", "5m"]);
}

#[test]
fn quotas() {
    let quota = json!({"metadata": meta("q"), "status": {"hard": {"pods": "4", "limits.cpu": "2",
        "limits.memory": "1Gi", "cpu": "1"}, "used": {"pods": "1", "cpu": "200m", "limits.cpu": "0"}}});
    assert_eq!(
        cells(kind::RESOURCE_QUOTA, &quota),
        ["q", "cpu: 200m/1, pods: 1/4", "limits.cpu: 0/2, limits.memory: 0/1Gi", "5m"]
    );
    let empty = json!({"metadata": meta("q"), "status": {}});
    assert_eq!(cells(kind::RESOURCE_QUOTA, &empty), ["q", "", "", "5m"]);
}

#[test]
fn autoscalers() {
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 80}}});
    let memory = json!({"type": "Resource", "resource": {"name": "memory",
        "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
    let mut scaler = json!({"metadata": meta("h"), "spec": {"minReplicas": 1, "maxReplicas": 5,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": [cpu]}});
    assert_eq!(
        cells(kind::HORIZONTAL_POD_AUTOSCALER, &scaler),
        ["h", "Deployment/d", "cpu: <unknown>/80%", "1", "5", "0", "5m"]
    );
    scaler["status"] = json!({"currentReplicas": 2, "currentMetrics": [{"type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": 10}}}]});
    scaler["spec"]["metrics"] = json!([cpu, memory, memory]);
    let shown = cells(kind::HORIZONTAL_POD_AUTOSCALER, &scaler);
    assert_eq!(shown[2], "cpu: 10%/80%, memory: <unknown>/1Gi + 1 more...");
    let old = json!({"metadata": meta("h"), "spec": {"maxReplicas": 5, "minReplicas": 1,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "targetCPUUtilizationPercentage": 70}});
    assert_eq!(cells(kind::HORIZONTAL_POD_AUTOSCALER_V1, &old)[2], "cpu: <unknown>/70%");
}

#[test]
fn storage() {
    let mut class = json!({"metadata": meta("c"), "provisioner": "p", "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate"});
    assert_eq!(
        cells(kind::STORAGE_CLASS, &class),
        ["c", "p", "Delete", "Immediate", "false", "5m"]
    );
    class["metadata"]["annotations"] =
        json!({"storageclass.kubernetes.io/is-default-class": "true"});
    assert_eq!(cells(kind::STORAGE_CLASS, &class)[0], "c (default)");
    let driver = json!({"metadata": meta("d"), "spec": {"attachRequired": false,
        "tokenRequests": [{"audience": "a"}], "volumeLifecycleModes": ["Persistent", "Ephemeral"]}});
    assert_eq!(
        cells(kind::CSI_DRIVER, &driver),
        ["d", "false", "false", "false", "a", "false", "Persistent,Ephemeral", "5m"]
    );
    for (kind, object, want) in [
        (kind::CSI_NODE, json!({"spec": {"drivers": [{}]}}), vec!["x", "1", "5m"]),
        (
            kind::CSI_STORAGE_CAPACITY,
            json!({"storageClassName": "c", "capacity": "1Gi"}),
            vec!["x", "c", "1Gi"],
        ),
        (
            kind::VOLUME_ATTACHMENT,
            json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
                "status": {"attached": true}}),
            vec!["x", "a", "v", "n", "true", "5m"],
        ),
        (kind::VOLUME_ATTRIBUTES_CLASS, json!({"driverName": "d"}), vec!["x", "d", "5m"]),
        (kind::RUNTIME_CLASS, json!({"handler": "h"}), vec!["x", "h", "5m"]),
        (
            kind::FLOW_SCHEMA,
            json!({"spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 7,
                "distinguisherMethod": {"type": "ByUser"}}}),
            vec!["x", "p", "7", "ByUser", "5m", "?"],
        ),
        (
            kind::PRIORITY_LEVEL_CONFIGURATION,
            json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 30}}}),
            vec!["x", "Limited", "30", "<none>", "<none>", "<none>", "5m"],
        ),
    ] {
        let mut object: Value = object;
        object["metadata"] = meta("x");
        assert_eq!(cells(kind, &object), want);
    }
}
