//! Create, update, patch, scale and binding.

use kabuki_api::{
    decode::Duplicates,
    kind::{
        CLUSTER_ROLE, CONFIG_MAP, DEPLOYMENT, EVENT, EVENTS_EVENT, LEASE, NAMESPACE, NODE, POD,
        ROLE,
    },
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn create_fills_in_what_the_server_owns() {
    let c = cluster().await;
    let mut given = deployment("d");
    given["metadata"]["uid"] = "mine".into();
    given["metadata"]["generation"] = 9.into();
    given["status"] = json!({"replicas": 5});
    let made = c.make(DEPLOYMENT, given).await;
    let value = made.value();
    assert_eq!(value["metadata"]["generation"], 1);
    assert_ne!(made.uid(), "mine");
    assert!(value["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(value["status"], json!({}));
    assert_eq!(value["metadata"]["resourceVersion"], made.revision().to_string());
    assert_eq!(
        (value["kind"].as_str(), value["apiVersion"].as_str()),
        (Some("Deployment"), Some("apps/v1"))
    );
    let again = c.get(DEPLOYMENT, "default", "d").unwrap();
    assert_eq!(again.value(), value);
    let mut encoded: Value = serde_json::from_slice(&again.encoded()).unwrap();
    // Only what is sent out says who owns the fields.
    assert_eq!(encoded["metadata"]["managedFields"][0]["manager"], "test");
    encoded["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(encoded, *value);
}

#[tokio::test]
async fn refused_creates() {
    let c = cluster().await;
    c.config("taken", "1").await;
    let mut versioned = config("x", "1");
    versioned["metadata"]["resourceVersion"] = "3".into();
    let mut elsewhere = config("x", "1");
    elsewhere["metadata"]["namespace"] = "other".into();
    for (ns, object, code, text) in [
        ("default", config("taken", "2"), 409, "configmaps \"taken\" already exists"),
        ("missing", config("x", "1"), 404, "namespaces \"missing\" not found"),
        ("default", versioned, 500, "resourceVersion should not be set on objects to be created"),
        (
            "default",
            elsewhere,
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ] {
        let status = c.create(&internal(), CONFIG_MAP, ns, object).await.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (code, text));
    }
    let wrong = json!({"apiVersion": "v2", "metadata": {"name": "x"}});
    let status = c.create(&internal(), CONFIG_MAP, "default", wrong).await.unwrap_err();
    assert_eq!(status.code, 400);
}

#[tokio::test]
async fn unknown_fields_warn_or_are_refused() {
    let c = cluster().await;
    let mut object = config("x", "1");
    object["foo"] = 1.into();
    let mut info = RequestInfo { field_validation: FieldValidation::Strict, ..internal() };
    info.duplicates = Duplicates::of_paths(vec!["data.v".into()]);
    let status = c.create(&info, CONFIG_MAP, "default", object.clone()).await.unwrap_err();
    assert_eq!(
        status.message,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\", duplicate field \"data.v\""
    );
    info.field_validation = FieldValidation::Warn;
    let written = c.create(&info, CONFIG_MAP, "default", object).await.unwrap();
    assert_eq!(written.warnings, ["unknown field \"foo\"", "duplicate field \"data.v\""]);
    assert!(written.object.value()["foo"].is_null());
}

#[tokio::test]
async fn generated_names_differ_and_dry_runs_store_nothing() {
    let c = cluster().await;
    let object = json!({"metadata": {"generateName": "x-"}});
    let a = c.make(CONFIG_MAP, object.clone()).await;
    let b = c.make(CONFIG_MAP, object).await;
    assert!(a.name().starts_with("x-") && a.name().len() == 7 && a.name() != b.name());
    let ns = json!({"metadata": {"generateName": "ns-"}});
    let ns = c.create(&internal(), NAMESPACE, "", ns).await.unwrap().object;
    assert_eq!(ns.labels()["kubernetes.io/metadata.name"], ns.name());
    let dry = RequestInfo { dry_run: true, ..internal() };
    let before = c.store().revision();
    c.create(&dry, CONFIG_MAP, "default", config("y", "1")).await.unwrap();
    assert!(c.get(CONFIG_MAP, "default", "y").is_none());
    assert_eq!(c.store().revision(), before);
}

#[tokio::test]
async fn updates_honour_versions_and_no_ops_write_nothing() {
    let c = cluster().await;
    let first = c.config("x", "1").await;
    let mut next = first.value().clone();
    next["data"]["v"] = "2".into();
    let second = c.replace(CONFIG_MAP, next.clone(), Subresource::Main).await.unwrap().object;
    assert!(second.revision() > first.revision());
    let stale = c.replace(CONFIG_MAP, next, Subresource::Main).await.unwrap_err();
    assert_eq!(
        stale.message,
        "Operation cannot be fulfilled on configmaps \"x\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let same = second.value().clone();
    let third = c.replace(CONFIG_MAP, same, Subresource::Main).await.unwrap().object;
    assert_eq!(third.revision(), second.revision());
    let mut unconditional = config("x", "3");
    let done = c.replace(CONFIG_MAP, unconditional.clone(), Subresource::Main).await.unwrap();
    assert_eq!(done.object.uid(), first.uid());
    unconditional["metadata"]["uid"] = "other".into();
    let status = c.replace(CONFIG_MAP, unconditional, Subresource::Main).await.unwrap_err();
    assert!(status.message.contains("Precondition failed: UID in precondition: other"));
    let missing = c.replace(CONFIG_MAP, config("none", "1"), Subresource::Main).await.unwrap_err();
    assert_eq!(missing.code, 404);
    let made = c.replace(LEASE, json!({"metadata": {"name": "l"}}), Subresource::Main).await;
    assert!(made.unwrap().created);
    let blind = c.replace(LEASE, json!({"metadata": {"name": "l"}}), Subresource::Main).await;
    assert_eq!(blind.unwrap_err().code, 422);
}

#[tokio::test]
async fn status_and_spec_have_their_own_endpoints() {
    let c = cluster().await;
    let made = c.make(DEPLOYMENT, deployment("d")).await;
    let mut change = made.value().clone();
    change["spec"]["replicas"] = 3.into();
    change["status"] = json!({"replicas": 2});
    let status = c.replace(DEPLOYMENT, change.clone(), Subresource::Status).await.unwrap().object;
    assert_eq!(status.value()["spec"]["replicas"], 1);
    assert_eq!(status.value()["status"]["replicas"], 2);
    assert_eq!(status.value()["metadata"]["generation"], 1);
    change["metadata"]["resourceVersion"] = status.revision().to_string().into();
    change["status"] = json!({});
    let spec = c.replace(DEPLOYMENT, change, Subresource::Main).await.unwrap().object;
    assert_eq!(spec.value()["spec"]["replicas"], 3);
    assert_eq!(spec.value()["status"]["replicas"], 2);
    assert_eq!(spec.value()["metadata"]["generation"], 2);
    let touch = c
        .update_with_retry(DEPLOYMENT, "default", "d", Subresource::Main, |v| {
            v["metadata"]["labels"] = json!({"x": "y"});
            true
        })
        .await
        .unwrap();
    assert_eq!(touch.value()["metadata"]["generation"], 2);
}

#[tokio::test]
async fn patches_of_all_kinds() {
    let c = cluster().await;
    c.make(DEPLOYMENT, deployment("d")).await;
    let patch = |kind, body: Value| {
        let registry = c.registry.clone();
        async move {
            registry
                .patch(&internal(), DEPLOYMENT, "default", "d", kind, &body, Subresource::Main)
                .await
        }
    };
    let merged = patch(PatchKind::Merge, json!({"spec": {"replicas": 2}})).await.unwrap();
    assert_eq!(merged.object.value()["metadata"]["generation"], 2);
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}});
    let strategic = patch(PatchKind::Strategic, image).await.unwrap();
    let container = &strategic.object.value()["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "i:2");
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    let json = json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]);
    assert_eq!(patch(PatchKind::Json, json).await.unwrap().object.value()["spec"]["replicas"], 4);
    for (kind, body, code) in [
        (PatchKind::Merge, json!({"metadata": {"resourceVersion": "1"}}), 409),
        (PatchKind::Merge, json!({"metadata": {"name": "other"}}), 400),
        (PatchKind::Merge, json!({"kind": "Pod"}), 400),
        (PatchKind::Json, json!([{"op": "test", "path": "/spec/replicas", "value": 9}]), 422),
        (PatchKind::Apply, json!({}), 400),
    ] {
        assert_eq!(patch(kind, body.clone()).await.unwrap_err().code, code, "{body}");
    }
}

#[tokio::test]
async fn scale_is_a_view_of_replicas() {
    let c = cluster().await;
    c.make(DEPLOYMENT, deployment("d")).await;
    let scale = c.scale(DEPLOYMENT, "default", "d").await.unwrap();
    assert_eq!(scale["spec"]["replicas"], 1);
    assert_eq!(scale["status"]["selector"], "a=b");
    let mut wanted = scale.clone();
    wanted["spec"]["replicas"] = 5.into();
    let done = c.update_scale(&internal(), DEPLOYMENT, "default", "d", &wanted).await.unwrap();
    assert_eq!(done["spec"]["replicas"], 5);
    let stale = c.update_scale(&internal(), DEPLOYMENT, "default", "d", &wanted).await.unwrap_err();
    assert_eq!(stale.code, 409);
    let body = json!({"spec": {"replicas": 2}});
    let patched = c
        .patch_scale(&internal(), DEPLOYMENT, "default", "d", PatchKind::Merge, &body)
        .await
        .unwrap();
    assert_eq!(patched["spec"]["replicas"], 2);
    let negative = json!({"spec": {"replicas": -1}});
    let status = c.update_scale(&internal(), DEPLOYMENT, "default", "d", &negative).await;
    assert_eq!(status.unwrap_err().code, 422);
}

#[tokio::test]
async fn pods_get_admitted_bound_and_reported() {
    let c = cluster().await;
    let made = c.make(POD, pod("p")).await;
    let spec = &made.value()["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(spec["priority"], 0);
    assert_eq!(made.value()["status"]["phase"], "Pending");
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    c.bind(&internal(), "default", "p", &binding).await.unwrap();
    let bound = c.get(POD, "default", "p").unwrap();
    assert_eq!(bound.value()["spec"]["nodeName"], "n");
    assert_eq!(bound.value()["status"]["conditions"][0]["type"], "PodScheduled");
    let twice = c.bind(&internal(), "default", "p", &binding).await.unwrap_err();
    assert_eq!(
        twice.message,
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
    );
    let running = c
        .update_with_retry(POD, "default", "p", Subresource::Status, |v| {
            v["status"]["phase"] = "Running".into();
            v["spec"]["nodeName"] = "other".into();
            true
        })
        .await
        .unwrap();
    assert_eq!(running.value()["status"]["phase"], "Running");
    assert_eq!(running.value()["spec"]["nodeName"], "n");
    let node = c.make(NODE, json!({"metadata": {"name": "n"}, "status": {"phase": "x"}})).await;
    assert_eq!(node.value()["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
}

#[tokio::test]
async fn both_event_versions_are_one_object() {
    let c = cluster().await;
    let event = json!({"metadata": {"name": "e", "namespace": "default"}, "reason": "R", "action": "A",
        "note": "hello", "type": "Normal", "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "x", "reportingInstance": "y",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"}});
    let made = c.make(EVENTS_EVENT, event).await;
    assert_eq!(made.value()["note"], "hello");
    let core = c.get(EVENT, "default", "e").unwrap();
    assert_eq!(core.value()["message"], "hello");
    assert_eq!(core.value()["apiVersion"], "v1");
    let again = c.get(EVENTS_EVENT, "default", "e").unwrap();
    assert_eq!(again.value()["regarding"]["name"], "p");
    assert_eq!(again.value()["apiVersion"], "events.k8s.io/v1");
}

#[tokio::test]
async fn bootstrap_is_idempotent_and_repairs_roles() {
    let c = cluster().await;
    let before = c.store().revision();
    c.bootstrap().await.unwrap();
    assert_eq!(c.store().revision(), before);
    assert!(c.get(ROLE, "kube-system", "extension-apiserver-authentication-reader").is_some());
    c.update_with_retry(CLUSTER_ROLE, "", "view", Subresource::Main, |v| {
        v["rules"] = json!([]);
        true
    })
    .await
    .unwrap();
    c.bootstrap().await.unwrap();
    let view = c.get(CLUSTER_ROLE, "", "view").unwrap();
    assert_eq!(view.value()["rules"].as_array().unwrap().len(), 10);
    let system = c.get(NAMESPACE, "", "kube-system").unwrap();
    assert_eq!(system.value()["metadata"]["labels"]["kubernetes.io/metadata.name"], "kube-system");
}

#[tokio::test]
async fn a_deposed_leader_cannot_write() {
    let c = cluster().await;
    let term = c.store().leadership().borrow().term;
    let current = c.fenced(term);
    current.create(&internal(), CONFIG_MAP, "default", config("a", "1")).await.unwrap();
    let past = c.fenced(term + 1);
    let refused = past.create(&internal(), CONFIG_MAP, "default", config("b", "1")).await;
    assert_eq!(refused.unwrap_err().code, 503);
    assert!(c.get(CONFIG_MAP, "default", "b").is_none());
}
