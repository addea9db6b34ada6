use serde_json::{Value, json};

use super::*;
use crate::kind;

#[test]
fn table_is_complete() {
    let text = include_str!("messages.txt");
    let rows = text.lines().filter(|l| !l.starts_with(['#', '=', '+'])).count();
    let read: usize = table().messages.iter().map(|m| m.own.len()).sum();
    assert_eq!(rows, read, "a row of messages.txt was not understood");
    for kind in kind::all() {
        assert!(table().of(kind).is_some(), "{} has no message", kind.kind);
        assert!(table().of(kind).unwrap().field("metadata").is_some());
    }
    for extra in [kind::SCALE, kind::EVICTION, kind::TOKEN_REQUEST, kind::STATUS] {
        assert!(table().of(extra).is_some());
    }
}

#[test]
fn merge_strategies() {
    for (message, name, key, merge, retain) in [
        ("core.v1.PodSpec", "containers", Some("name"), true, false),
        ("core.v1.PodSpec", "volumes", Some("name"), true, true),
        ("core.v1.PodSpec", "tolerations", None, false, false),
        ("core.v1.EphemeralContainer", "env", Some("name"), true, false),
        ("meta.v1.ObjectMeta", "finalizers", None, true, false),
        ("apps.v1.DeploymentSpec", "strategy", None, false, true),
    ] {
        let info = field(message, name).unwrap();
        assert_eq!((info.merge_key, info.merge, info.retain_keys), (key, merge, retain), "{name}");
    }
    assert_eq!(
        field("apps.v1.Deployment", "spec").unwrap().message,
        Some("apps.v1.DeploymentSpec")
    );
    assert!(field("core.v1.Volume", "emptyDir").is_some(), "inlined fields belong to the parent");
    assert!(field("core.v1.Volume", "volumeSource").is_none());
}

#[test]
fn unknown_fields_are_named() {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "foo": 1,
        "metadata": {"name": "x", "bar": 1, "labels": {"any": "x"}},
        "spec": {"template": {"spec": {"containers": [{"name": "a"}, {"nam": "b"}],
            "volumes": [{"name": "v", "emptyDir": {"x": 1}}]}}}});
    assert_eq!(
        unknown_fields(kind::DEPLOYMENT, &object),
        [
            "foo",
            "metadata.bar",
            "spec.template.spec.containers[1].nam",
            "spec.template.spec.volumes[0].emptyDir.x"
        ]
    );
}

#[test]
fn prune_leaves_what_go_would_write() {
    let mut object = json!({"metadata": {"name": "x", "generateName": "", "labels": {"a": "", "b": null},
            "creationTimestamp": null, "foo": 1, "finalizers": []},
        "spec": {"hostNetwork": false, "terminationGracePeriodSeconds": 0, "nodeName": "",
            "securityContext": {},
            "containers": [{"name": "a", "stdin": false, "args": [], "resources": {"limits":
                {"cpu": 0.5, "memory": "1024Mi"}}, "ports": [{"containerPort": 80, "hostPort": 0}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}});
    prune(kind::POD, &mut object);
    assert_eq!(
        object,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {"a": "", "b": ""}},
            "spec": {"terminationGracePeriodSeconds": 0, "securityContext": {},
                "containers": [{"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                    "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "v", "emptyDir": {}}]}})
    );
    let mut set = json!({"metadata": {"name": "x", "creationTimestamp": "2024-01-01T02:00:00.5+02:00"},
        "spec": {"replicas": 0}, "status": {}});
    prune(kind::REPLICA_SET, &mut set);
    assert_eq!(set["metadata"]["creationTimestamp"], "2024-01-01T00:00:00Z");
    assert_eq!(set["spec"]["replicas"], 0);
    assert_eq!(set["status"], json!({"replicas": 0}));
    let once = set.clone();
    prune(kind::REPLICA_SET, &mut set);
    assert_eq!(once, set, "normalising twice changes nothing");
}

#[test]
fn type_errors_are_gos() {
    let deployment = |spec: Value| json!({"metadata": {}, "spec": spec});
    let prefix = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
    for (spec, want) in [
        (
            json!({"replicas": "3"}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"replicas": 1.5}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"replicas": 3_000_000_000_u64}),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"template": {"spec": {"containers": {}}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            json!({"template": {"spec": {"containers": [{"env": [{"name": "A", "value": true}]}]}}}),
            "json: cannot unmarshal bool into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            json!({"selector": {"matchLabels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field LabelSelector.spec.selector.matchLabels of type string",
        ),
        (
            json!({"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            json!({"template": {"metadata": {"creationTimestamp": "x"}}}),
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        ),
    ] {
        let error = check_types(kind::DEPLOYMENT, &deployment(spec)).unwrap_err();
        assert_eq!(error.message, format!("{prefix}{want}"));
    }
    let secret = json!({"data": {"a": "AA=A"}});
    let error = check_types(kind::SECRET, &secret).unwrap_err();
    assert!(error.message.contains("illegal base64 data at input byte"), "{}", error.message);
    assert!(check_types(kind::POD, &json!([])).is_err());
    let fine =
        json!({"spec": {"replicas": null, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}});
    check_types(kind::DEPLOYMENT, &fine).unwrap();
}
