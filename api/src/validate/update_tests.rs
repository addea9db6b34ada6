//! Updates, small kinds, and objects of wrong shapes.

use serde_json::{Value, json};

use crate::kind;

use super::{
    tests::{container, errors, pod, ready},
    *,
};

#[test]
fn small_kinds() {
    let meta = json!({"name": "x", "namespace": "n"});
    let global = json!({"name": "x"});
    for (kind, object, want) in [
        (
            kind::SECRET,
            json!({"metadata": meta, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            "data[tls.key]: Required value",
        ),
        (
            kind::CONFIG_MAP,
            json!({"metadata": meta, "data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
            "binaryData[a]: Invalid value: \"a\": duplicate of key present in data",
        ),
        (
            kind::ROLE,
            json!({"metadata": meta, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": []}]}),
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            kind::ROLE_BINDING,
            json!({"metadata": meta, "roleRef": {"kind": "Rule", "name": "r"}}),
            "roleRef.kind: Unsupported value: \"Rule\": supported values: \"Role\", \"ClusterRole\"",
        ),
        (
            kind::ENDPOINT_SLICE,
            json!({"metadata": meta, "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}]}),
            "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ),
        (
            kind::LEASE,
            json!({"metadata": meta, "spec": {"leaseDurationSeconds": 0}}),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            kind::PRIORITY_CLASS,
            json!({"metadata": global, "value": 2_000_000_000}),
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            kind::NODE,
            json!({"metadata": global, "spec": {"taints": [{"key": "a", "effect": "Maybe"}]}}),
            "spec.taints[0].effect: Unsupported value: \"Maybe\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (kind::BINDING, json!({"target": {"kind": "Node"}}), "target.name: Required value"),
        (
            kind::SELF_SUBJECT_ACCESS_REVIEW,
            json!({"spec": {}}),
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            kind::TOKEN_REQUEST,
            json!({"spec": {"audiences": [], "expirationSeconds": 1}}),
            "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
        ),
    ] {
        assert_eq!(errors(kind, object), [want], "{}", kind.kind);
    }
}

#[test]
fn updates() {
    let texts = |kind: &Kind, new: Value, old: Value| -> Vec<String> {
        let (new, old) = (ready(kind, new), ready(kind, old));
        update(kind, &new, &old).iter().map(ToString::to_string).collect()
    };
    assert!(texts(kind::POD, container(json!({"image": "j"})), pod(json!({}))).len() <= 1);
    let fixed = container(json!({"image": "j", "imagePullPolicy": "Always"}));
    assert_eq!(texts(kind::POD, fixed, pod(json!({}))), [] as [&str; 0]);
    let got = texts(kind::POD, pod(json!({"hostname": "h"})), pod(json!({})));
    assert!(got[0].starts_with(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    ));
    let more =
        pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}));
    assert_eq!(
        texts(kind::POD, more, pod(json!({}))),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    let meta = json!({"name": "x", "namespace": "n"});
    for (kind, new, old, want) in [
        (
            kind::SECRET,
            json!({"metadata": meta, "type": "a/b"}),
            json!({"metadata": meta}),
            "type: Invalid value: \"a/b\": field is immutable",
        ),
        (
            kind::CONFIG_MAP,
            json!({"metadata": meta, "immutable": true, "data": {"a": "2"}}),
            json!({"metadata": meta, "immutable": true, "data": {"a": "1"}}),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            kind::SERVICE,
            json!({"metadata": meta, "spec": {"clusterIP": "10.96.0.3", "ports": [{"port": 1}]}}),
            json!({"metadata": meta, "spec": {"clusterIP": "10.96.0.2", "ports": [{"port": 1}]}}),
            "spec.clusterIPs[0]: Invalid value: \"10.96.0.3\": may not change once set",
        ),
        (
            kind::ROLE_BINDING,
            json!({"metadata": meta, "roleRef": {"kind": "Role", "name": "b"}}),
            json!({"metadata": meta, "roleRef": {"kind": "Role", "name": "a"}}),
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"b\"}: cannot change roleRef",
        ),
        (
            kind::CONFIG_MAP,
            json!({"metadata": {"name": "x", "namespace": "n", "finalizers": ["a/b"],
                "deletionTimestamp": "2024-01-01T00:00:00Z"}}),
            json!({"metadata": {"name": "x", "namespace": "n", "deletionTimestamp": "2024-01-01T00:00:00Z"}}),
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/b\"}",
        ),
    ] {
        assert_eq!(texts(kind, new, old), [want], "{}", kind.kind);
    }
}

#[test]
fn wrong_shapes_do_not_panic() {
    for bad in [
        json!(null),
        json!("x"),
        json!([1]),
        json!({"spec": "x", "metadata": 1}),
        json!({"spec": {"containers": ["x"], "ports": [1], "template": 3, "selector": 1}, "rules": [1]}),
    ] {
        for kind in kind::all() {
            create(kind, &bad);
            update(kind, &bad, &bad);
        }
    }
}
