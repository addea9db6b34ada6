use std::collections::BTreeMap;

use k8s_pb::{
    api::{apps::v1 as apps, core::v1 as core},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1 as meta,
        runtime::{TypeMeta, Unknown},
        util::intstr::IntOrString,
    },
};
use prost::Message;
use serde_json::json;

use super::super::{Media, decode, decode_delete_options};
use crate::{
    kind::{self, Kind},
    schema,
};

fn envelope(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let unknown = Unknown {
        type_meta: Some(TypeMeta {
            api_version: Some(api_version.into()),
            kind: Some(kind.into()),
        }),
        raw: Some(raw),
        content_encoding: Some(String::new()),
        content_type: Some(String::new()),
    };
    [b"k8s\0".to_vec(), unknown.encode_to_vec()].concat()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn container() -> core::Container {
    core::Container {
        name: some("web"),
        image: some("nginx:1"),
        working_dir: some(""),
        stdin: Some(false),
        args: vec!["-a".into(), String::new()],
        env: vec![core::EnvVar {
            name: some("P"),
            value: some(""),
            value_from: Some(core::EnvVarSource {
                secret_key_ref: Some(core::SecretKeySelector {
                    local_object_reference: Some(core::LocalObjectReference { name: some("s") }),
                    key: some("k"),
                    optional: Some(false),
                }),
                ..Default::default()
            }),
        }],
        resources: Some(core::ResourceRequirements {
            limits: BTreeMap::from([("memory".into(), Quantity { string: some("1024Mi") })]),
            ..Default::default()
        }),
        readiness_probe: Some(core::Probe {
            handler: Some(core::ProbeHandler {
                http_get: Some(core::HttpGetAction {
                    path: some("/"),
                    port: Some(IntOrString {
                        r#type: Some(1),
                        int_val: Some(0),
                        str_val: some("http"),
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            period_seconds: Some(5),
            initial_delay_seconds: Some(0),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A Deployment as a Go client writes it: every plain scalar present, even when zero.
fn deployment() -> apps::Deployment {
    let volume = core::Volume {
        name: some("v"),
        volume_source: Some(core::VolumeSource {
            empty_dir: Some(core::EmptyDirVolumeSource { medium: some(""), size_limit: None }),
            ..Default::default()
        }),
    };
    apps::Deployment {
        metadata: Some(meta::ObjectMeta {
            name: some("d"),
            namespace: some(""),
            generation: Some(0),
            creation_timestamp: Some(meta::Time { seconds: None, nanos: None }),
            deletion_timestamp: Some(meta::Time { seconds: Some(1_700_000_000), nanos: Some(5) }),
            labels: BTreeMap::from([("a".into(), String::new())]),
            ..Default::default()
        }),
        spec: Some(apps::DeploymentSpec {
            replicas: Some(0),
            min_ready_seconds: Some(0),
            paused: Some(false),
            strategy: Some(apps::DeploymentStrategy {
                r#type: some(""),
                rolling_update: Some(apps::RollingUpdateDeployment {
                    max_surge: Some(IntOrString {
                        r#type: Some(0),
                        int_val: Some(2),
                        str_val: some(""),
                    }),
                    max_unavailable: None,
                }),
            }),
            template: Some(core::PodTemplateSpec {
                metadata: None,
                spec: Some(core::PodSpec {
                    containers: vec![container()],
                    volumes: vec![volume],
                    host_network: Some(false),
                    termination_grace_period_seconds: Some(0),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }),
        status: Some(apps::DeploymentStatus::default()),
    }
}

#[test]
fn a_deployment_becomes_its_json() {
    let body = envelope("apps/v1", "Deployment", deployment().encode_to_vec());
    let object = decode(&body, Media::Protobuf, kind::DEPLOYMENT).unwrap().object;
    assert_eq!(
        object,
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "deletionTimestamp": "2023-11-14T22:13:20Z", "labels": {"a": ""}},
            "spec": {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": 2}},
                "template": {"spec": {"terminationGracePeriodSeconds": 0,
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "containers": [{"name": "web", "image": "nginx:1", "args": ["-a", ""],
                        "env": [{"name": "P", "valueFrom": {"secretKeyRef":
                            {"name": "s", "key": "k", "optional": false}}}],
                        "resources": {"limits": {"memory": "1Gi"}},
                        "readinessProbe": {"periodSeconds": 5, "httpGet": {"path": "/", "port": "http"}}}]}}},
            "status": {}})
    );
    schema::check_types(kind::DEPLOYMENT, &object).unwrap();
    assert!(schema::unknown_fields(kind::DEPLOYMENT, &object).is_empty());
    let mut pruned = object.clone();
    schema::prune(kind::DEPLOYMENT, &mut pruned);
    assert_eq!(pruned, object, "protobuf comes out normalised");
}

#[test]
fn bytes_and_options() {
    let secret = core::Secret {
        metadata: Some(meta::ObjectMeta { name: some("s"), ..Default::default() }),
        data: BTreeMap::from([("k".into(), b"hello".to_vec()), ("e".into(), Vec::new())]),
        string_data: BTreeMap::from([("t".into(), "x".into())]),
        r#type: some("Opaque"),
        immutable: Some(false),
    };
    let body = envelope("v1", "Secret", secret.encode_to_vec());
    let object = decode(&body, Media::Protobuf, kind::SECRET).unwrap().object;
    assert_eq!(object["data"], json!({"k": "aGVsbG8=", "e": ""}));
    assert_eq!((&object["immutable"], &object["stringData"]["t"]), (&json!(false), &json!("x")));

    let options = meta::DeleteOptions {
        grace_period_seconds: Some(0),
        propagation_policy: some("Background"),
        preconditions: Some(meta::Preconditions { uid: some("u"), resource_version: None }),
        ..Default::default()
    };
    for version in ["v1", "apps/v1", "meta.k8s.io/v1"] {
        let body = envelope(version, "DeleteOptions", options.encode_to_vec());
        let object = decode_delete_options(&body, Media::Protobuf).unwrap();
        assert_eq!(object["gracePeriodSeconds"], 0);
        assert_eq!(object["preconditions"], json!({"uid": "u"}));
    }
}

fn refused(body: &[u8], kind: &'static Kind) {
    let status = decode(body, Media::Protobuf, kind).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{}", status.message);
}

#[test]
fn bad_bodies_are_refused() {
    let raw = deployment().encode_to_vec();
    let whole = envelope("apps/v1", "Deployment", raw.clone());
    // Cut anywhere: an error or, at a field's end, a shorter object; never a panic.
    for end in 0..whole.len() {
        let _ = decode(&whole[..end], Media::Protobuf, kind::DEPLOYMENT);
    }
    // Every byte flipped: likewise.
    for at in 0..whole.len() {
        let mut body = whole.clone();
        body[at] ^= 0xff;
        let _ = decode(&body, Media::Protobuf, kind::DEPLOYMENT);
    }
    refused(b"{}", kind::DEPLOYMENT);
    refused(b"", kind::DEPLOYMENT);
    refused(&envelope("v1", "Pod", raw.clone()), kind::DEPLOYMENT);
    refused(&envelope("apps/v1", "Deployment", raw[..raw.len() - 1].to_vec()), kind::DEPLOYMENT);
    // Wrong wire type: metadata (a message) as a number.
    refused(&envelope("v1", "Pod", vec![0x08, 0x01]), kind::POD);
    // A length of 2^63.
    let huge = vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    refused(&envelope("v1", "Pod", huge), kind::POD);
    // Text that is no UTF-8.
    refused(&envelope("v1", "Pod", vec![0x0a, 0x03, 0x0a, 0x01, 0xff]), kind::POD);
}
