use serde_json::{Value, json};

use super::*;
use crate::{defaults, kind, schema};

pub(super) fn ready(kind: &Kind, mut object: Value) -> Value {
    schema::check_types(kind, &object).unwrap();
    schema::prune(kind, &mut object);
    defaults::apply(kind, &mut object);
    object
}

pub(super) fn errors(kind: &Kind, object: Value) -> Vec<String> {
    create(kind, &ready(kind, object)).iter().map(ToString::to_string).collect()
}

/// A pod whose spec is the minimal one with `patch` laid over it.
pub(super) fn pod(patch: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "d"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    lay(&mut pod["spec"], patch);
    pod
}

pub(super) fn lay(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                lay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, patch) => *base = patch,
    }
}

pub(super) fn container(patch: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    lay(&mut container, patch);
    pod(json!({"containers": [container]}))
}

#[test]
fn good_objects_pass() {
    for (kind, object) in [
        (kind::POD, pod(json!({}))),
        (
            kind::POD,
            pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "e"}],
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "ports": [{"containerPort": 80, "name": "http"}],
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom":
                        {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}],
                    "envFrom": [{"configMapRef": {"name": "c"}}],
                    "livenessProbe": {"exec": {"command": ["x"]}},
                    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}}]})),
        ),
        (
            kind::DEPLOYMENT,
            json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {
                "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
        ),
        (
            kind::SERVICE,
            json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": 80}]}}),
        ),
        (
            kind::SERVICE,
            json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "None"}}),
        ),
        (
            kind::CONFIG_MAP,
            json!({"metadata": {"name": "c", "namespace": "n"}, "data": {"a.b": "x"}}),
        ),
        (
            kind::SECRET,
            json!({"metadata": {"name": "c", "namespace": "n"}, "stringData": {"a": "x"}}),
        ),
        (kind::NAMESPACE, json!({"metadata": {"name": "n"}})),
        (kind::NODE, json!({"metadata": {"name": "n.x"}})),
        (
            kind::CLUSTER_ROLE_BINDING,
            json!({"metadata": {"name": "system:x"}, "roleRef": {"kind": "ClusterRole", "name": "system:y"},
                "subjects": [{"kind": "Group", "name": "g"}]}),
        ),
        (
            kind::LEASE,
            json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"leaseDurationSeconds": 40}}),
        ),
        (
            kind::ENDPOINT_SLICE,
            json!({"metadata": {"name": "l", "namespace": "n"}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]}),
        ),
    ] {
        assert_eq!(errors(kind, object), [] as [&str; 0], "{}", kind.kind);
    }
}

#[test]
fn metadata() {
    let object = |metadata: Value| json!({"metadata": metadata});
    for (metadata, want) in [
        (
            json!({"namespace": "n"}),
            "metadata.name: Required value: name or generateName is required",
        ),
        (json!({"name": "a"}), "metadata.namespace: Required value"),
        (
            json!({"name": "a", "namespace": "n", "labels": {"-": "x"}}),
            &*format!("metadata.labels: Invalid value: \"-\": {}", crate::name::QUALIFIED_MESSAGE),
        ),
        (
            json!({"name": "a", "namespace": "n", "ownerReferences": [{"kind": "A", "name": "b", "uid": "u"}]}),
            "metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty",
        ),
        (
            json!({"name": "a", "namespace": "n", "annotations": {"a": "x".repeat(256 * 1024)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
    ] {
        assert_eq!(errors(kind::CONFIG_MAP, object(metadata)), [want]);
    }
    assert!(
        errors(kind::NAMESPACE, object(json!({"name": "a.b"})))[0]
            .starts_with("metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label must")
    );
    assert_eq!(
        errors(kind::NODE, object(json!({"name": "a", "namespace": "x"}))),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
}

#[test]
fn containers() {
    for (patch, want) in [
        (json!({"image": ""}), "spec.containers[0].image: Required value"),
        (json!({"name": ""}), "spec.containers[0].name: Required value"),
        (
            json!({"image": " x"}),
            "spec.containers[0].image: Invalid value: \" x\": must not have leading or trailing whitespace",
        ),
        (
            json!({"imagePullPolicy": "Maybe"}),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            json!({"ports": [{"name": "a"}]}),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            json!({"ports": [{"containerPort": 70_000}]}),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}),
            "spec.containers[0].volumeMounts[0].name: Not found: \"x\"",
        ),
        (
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({"resources": {"limits": {"foo": "1"}, "requests": {}}}),
            "spec.containers[0].resources.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers",
        ),
        (
            json!({"livenessProbe": {}}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            json!({"livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 80}}}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            json!({"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
            "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
    ] {
        let got = errors(kind::POD, container(patch));
        assert!(got.contains(&want.to_owned()), "{got:?} lacks {want}");
    }
}

#[test]
fn pods() {
    for (patch, want) in [
        (json!({"containers": []}), "spec.containers: Required value"),
        (
            json!({"restartPolicy": "Sometimes"}),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            "spec.containers[1].name: Duplicate value: \"c\"",
        ),
        (
            json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            json!({"volumes": [{"name": "v", "secret": {}}]}),
            "spec.volumes[0].secret.secretName: Required value",
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 1}]}),
            "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        (
            json!({"dnsPolicy": "None"}),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
        ),
        (
            json!({"initContainers": [{"name": "x", "image": "i", "readinessProbe": {"exec": {"command": ["a"]}}}]}),
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
    ] {
        let got = errors(kind::POD, pod(patch));
        assert!(got.contains(&want.to_owned()), "{got:?} lacks {want}");
    }
}

#[test]
fn workloads_and_services() {
    let deployment = |patch: Value| {
        let mut object = json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        lay(&mut object["spec"], patch);
        object
    };
    for (patch, want) in [
        (
            json!({"selector": {"matchLabels": {"a": "c"}}}),
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
        ),
        (json!({"selector": null}), "spec.selector: Required value"),
        (
            json!({"replicas": -1}),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"template": {"spec": {"restartPolicy": "Never"}}}),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
        ),
        (
            json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
    ] {
        assert_eq!(errors(kind::DEPLOYMENT, deployment(patch)), [want]);
    }
    let service = |spec: Value| json!({"metadata": {"name": "s", "namespace": "n"}, "spec": spec});
    for (spec, want) in [
        (json!({}), "spec.ports: Required value"),
        (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
        (
            json!({"ports": [{"port": 80, "nodePort": 30_000}]}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            json!({"clusterIP": "x", "ports": [{"port": 80}]}),
            "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"port": 81}]}),
            "spec.ports[1].name: Required value",
        ),
    ] {
        assert_eq!(errors(kind::SERVICE, service(spec)), [want]);
    }
}
