//! What upstream says about wrong StatefulSets, DaemonSets, jobs, cron jobs, volumes and claims.

use serde_json::{Value, json};

use super::{
    tests::{errors, lay, ready},
    *,
};
use crate::kind;

fn meta() -> Value {
    json!({"name": "x", "namespace": "d", "uid": "u"})
}

fn template(restart: &str) -> Value {
    json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}})
}

/// An object of the kind with `patch` laid over its spec.
fn object(kind: &Kind, patch: Value) -> Value {
    let spec = match kind.kind {
        "Job" => json!({"template": template("Never")}),
        "CronJob" => {
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template("Never")}}})
        }
        "ReplicationController" => json!({"template": template("Always")}),
        "PersistentVolumeClaim" => json!({"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}),
        "PersistentVolume" => {
            json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/x"}})
        }
        _ => json!({"selector": {"matchLabels": {"a": "b"}}, "template": template("Always")}),
    };
    let mut object = json!({"metadata": meta(), "spec": spec});
    if !kind.namespaced {
        object["metadata"] = json!({"name": "x", "uid": "u"});
    }
    lay(&mut object["spec"], patch);
    let mut object = ready(kind, object);
    (kind.prepare)(&mut object);
    object
}

fn said(kind: &Kind, patch: Value) -> Vec<String> {
    create(kind, &object(kind, patch)).iter().map(ToString::to_string).collect()
}

#[test]
fn good_ones_pass() {
    for kind in [
        kind::STATEFUL_SET,
        kind::DAEMON_SET,
        kind::REPLICATION_CONTROLLER,
        kind::JOB,
        kind::CRON_JOB,
        kind::PERSISTENT_VOLUME_CLAIM,
        kind::PERSISTENT_VOLUME,
    ] {
        assert_eq!(said(kind, json!({})), [] as [&str; 0], "{}", kind.kind);
    }
    let claims = json!({"serviceName": "s", "volumeClaimTemplates": [{"metadata": {"name": "v"},
        "spec": {"accessModes": ["ReadWriteOnce"]}}], "template": {"spec": {"containers": [
            {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}}});
    assert_eq!(said(kind::STATEFUL_SET, claims), [] as [&str; 0], "mounts of claims");
}

#[test]
fn refusals_are_upstreams() {
    let no_match = "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`";
    for (kind, patch, want) in [
        (kind::STATEFUL_SET, json!({"selector": {"matchLabels": {"a": "c"}}}), no_match),
        (kind::DAEMON_SET, json!({"selector": {"matchLabels": {"a": "c"}}}), no_match),
        (kind::REPLICATION_CONTROLLER, json!({"selector": {"a": "c"}}), no_match),
        (
            kind::STATEFUL_SET,
            json!({"podManagementPolicy": "Any"}),
            "spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            kind::DAEMON_SET,
            json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            kind::DAEMON_SET,
            json!({"template": {"spec": {"restartPolicy": "Never"}}}),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            kind::JOB,
            json!({"template": {"spec": {"restartPolicy": "Always"}}}),
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ),
        (kind::JOB, json!({"completionMode": "Indexed"}), ""),
        (
            kind::JOB,
            json!({"completionMode": "Indexed", "parallelism": 1}),
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            kind::JOB,
            json!({"backoffLimitPerIndex": 1}),
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            kind::JOB,
            json!({"selector": {"matchLabels": {"a": "b"}}}),
            "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not auto-generated",
        ),
        (
            kind::CRON_JOB,
            json!({"schedule": "TZ=UTC * * * * *"}),
            "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        (
            kind::CRON_JOB,
            json!({"schedule": "61 * * * *"}),
            "spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61",
        ),
        (
            kind::CRON_JOB,
            json!({"concurrencyPolicy": "Often"}),
            "spec.concurrencyPolicy: Unsupported value: \"Often\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
        ),
        (
            kind::PERSISTENT_VOLUME_CLAIM,
            json!({"resources": {"requests": null}}),
            "spec.resources[storage]: Required value",
        ),
        (
            kind::PERSISTENT_VOLUME,
            json!({"nfs": {"server": "s", "path": "/p"}}),
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ),
        (
            kind::PERSISTENT_VOLUME,
            json!({"hostPath": null, "local": {"path": "/d"}}),
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ),
    ] {
        let found = said(kind, patch.clone());
        assert_eq!(found.join("; "), want, "{} {patch}", kind.kind);
    }
    let mut long = object(kind::CRON_JOB, json!({}));
    long["metadata"]["name"] = "x".repeat(53).into();
    assert!(errors(kind::CRON_JOB, long)[0].ends_with("must be no more than 52 characters"));
    let revision = json!({"metadata": meta(), "revision": -1});
    assert_eq!(
        errors(kind::CONTROLLER_REVISION, revision),
        [
            "data: Required value: data is mandatory",
            "revision: Invalid value: -1: must be greater than or equal to 0"
        ]
    );
}

#[test]
fn changes_that_are_refused() {
    for (kind, patch, want) in [
        (kind::STATEFUL_SET, json!({"replicas": 3, "template": {"spec": {"hostname": "h"}}}), ""),
        (
            kind::STATEFUL_SET,
            json!({"serviceName": "other"}),
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
        (kind::JOB, json!({"parallelism": 3, "suspend": true}), ""),
        (
            kind::JOB,
            json!({"completions": 2}),
            "spec.completions: Invalid value: 2: field is immutable",
        ),
        (
            kind::JOB,
            json!({"completionMode": "Indexed"}),
            "spec.completionMode: Invalid value: \"Indexed\": field is immutable",
        ),
        (
            kind::PERSISTENT_VOLUME_CLAIM,
            json!({"accessModes": ["ReadOnlyMany"]}),
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ),
        (kind::PERSISTENT_VOLUME_CLAIM, json!({"volumeName": "v"}), ""),
        (
            kind::PERSISTENT_VOLUME,
            json!({"hostPath": {"path": "/y"}}),
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
        ),
        (kind::PERSISTENT_VOLUME, json!({"capacity": {"storage": "2Gi"}}), ""),
    ] {
        let old = object(kind, json!({}));
        let mut new = old.clone();
        lay(&mut new["spec"], patch.clone());
        let found: Vec<String> = update(kind, &new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(found.join("; "), want, "{} {patch}", kind.kind);
    }
}

#[test]
fn a_waiting_job_may_still_be_placed() {
    let old = object(kind::JOB, json!({"suspend": true}));
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    assert_eq!(update(kind::JOB, &new, &old), []);
    let mut started = old;
    started["status"] = json!({"startTime": "2026-01-01T00:00:00Z"});
    let found = update(kind::JOB, &new, &started);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].path.as_str(), found[0].detail.as_str()),
        ("spec.template", "field is immutable")
    );
}

#[test]
fn signing_requests() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
    let good = json!({"metadata": {"name": "r:1"}, "spec": {"request": encode(pem),
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}});
    assert_eq!(errors(kind::CERTIFICATE_SIGNING_REQUEST, good.clone()), [] as [&str; 0]);
    for (pointer, value, want) in [
        (
            "/spec/request",
            json!("QQ=="),
            "spec.request: Invalid value: \"QQ==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        ("/spec/usages", json!([]), "spec.usages: Required value: usages must be provided"),
        (
            "/spec/signerName",
            json!("x"),
            "spec.signerName: Invalid value: \"x\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert_eq!(errors(kind::CERTIFICATE_SIGNING_REQUEST, wrong), [want]);
    }
    let mut decided = good.clone();
    decided["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    let found = update(kind::CERTIFICATE_SIGNING_REQUEST, &good, &decided);
    assert_eq!(
        found[0].to_string(),
        "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""
    );
}
