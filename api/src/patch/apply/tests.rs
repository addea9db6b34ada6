//! Server-side apply on the real field table.

use serde_json::{Value, json};

use super::*;
use crate::kind::{CONFIG_MAP, DEPLOYMENT, NAMESPACE, POD, SERVICE};

const NOW: &str = "2024-01-02T03:04:05Z";
const LATER: &str = "2024-01-02T03:04:06Z";

fn writer(kind: &'static Kind, manager: &'static str) -> Writer<'static> {
    Writer { kind, manager, subresource: "", now: NOW, schema: None }
}

fn entries(managed: Option<&str>) -> Value {
    managed.map_or(json!([]), |json| serde_json::from_str(json).unwrap())
}

fn fields_of(managed: Option<&str>, manager: &str) -> Value {
    let all = entries(managed);
    let found = all.as_array().unwrap().iter().find(|e| e["manager"] == manager);
    found.map_or(Value::Null, |e| e["fieldsV1"].clone())
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

fn apply(manager: &'static str, live: &Applied, config: &Value) -> Result<Applied, Status> {
    writer(CONFIG_MAP, manager).apply(Some(&live.object), live.managed.as_deref(), config, false)
}

#[test]
fn create_owns_what_the_object_holds() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "labels": {"a": "b"}, "creationTimestamp": NOW},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {},
            "ports": [{"containerPort": 80, "protocol": "TCP"}], "args": ["x"]}],
            "nodeSelector": {"k": "v"}, "securityContext": {}},
        "status": {"phase": "Pending"}});
    let managed = writer(POD, "kubectl").create(&pod, &Owners::Live);
    assert_eq!(
        entries(managed.as_deref()),
        json!([{"apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kubectl",
            "operation": "Update", "time": NOW, "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {
                    "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:args": {}, "f:image": {},
                        "f:name": {}, "f:resources": {}, "f:ports": {".": {},
                            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                                {".": {}, "f:containerPort": {}, "f:protocol": {}}}}},
                    "f:nodeSelector": {}, "f:securityContext": {}}}}])
    );
    let namespace = json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]}});
    assert_eq!(writer(NAMESPACE, "m").create(&namespace, &Owners::Live), None);
}

#[test]
fn apply_creates_changes_and_takes_away() {
    let first = writer(CONFIG_MAP, "a")
        .apply(None, None, &config_map(json!({"x": "1", "y": "1"})), false)
        .unwrap();
    assert_eq!(first.object["data"], json!({"x": "1", "y": "1"}));
    let owned = json!({"f:data": {"f:x": {}, "f:y": {}}});
    assert_eq!(fields_of(first.managed.as_deref(), "a"), owned);

    // The same again changes nothing, not even the time.
    let again = Writer { now: LATER, ..writer(CONFIG_MAP, "a") };
    let config = config_map(json!({"x": "1", "y": "1"}));
    let same = again.apply(Some(&first.object), first.managed.as_deref(), &config, false).unwrap();
    assert_eq!(same, first);

    // What is not applied any more goes, what another set stays.
    let mut live = first.object.clone();
    live["data"]["z"] = "1".into();
    let managed = writer(CONFIG_MAP, "b").update(
        &first.object,
        first.managed.as_deref(),
        &live,
        &Owners::Live,
    );
    let live = Applied { object: live, managed };
    let less = apply("a", &live, &config_map(json!({"x": "2"}))).unwrap();
    assert_eq!(less.object["data"], json!({"x": "2", "z": "1"}));
    assert_eq!(fields_of(less.managed.as_deref(), "b"), json!({"f:data": {"f:z": {}}}));

    // Nothing left to own, nothing left of it.
    let none = apply("a", &less, &config_map(Value::Null)).unwrap();
    assert_eq!(none.object["data"], json!({"z": "1"}));
}

#[test]
fn conflicts_name_manager_and_field_and_force_takes_over() {
    let live = deployment(json!({"replicas": 1, "paused": true}));
    let managed = writer(DEPLOYMENT, "kubectl").create(&live, &Owners::Live);
    let config = deployment(json!({"replicas": 2}));
    let me = writer(DEPLOYMENT, "me");
    let refused = me.apply(Some(&live), managed.as_deref(), &config, false).unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let cause = &refused.details.as_ref().unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.message.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", "conflict with \"kubectl\" using apps/v1", ".spec.replicas")
    );

    let both = deployment(json!({"replicas": 2, "paused": false}));
    let refused = me.apply(Some(&live), managed.as_deref(), &both, false).unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.paused\n- .spec.replicas"
    );

    let forced = me.apply(Some(&live), managed.as_deref(), &config, true).unwrap();
    assert_eq!(forced.object["spec"], json!({"replicas": 2, "paused": true}));
    let managed = forced.managed.as_deref();
    assert_eq!(fields_of(managed, "me"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(fields_of(managed, "kubectl"), json!({"f:spec": {"f:paused": {}}}));
}

#[test]
fn equal_values_are_shared_and_removed_with_the_last_owner() {
    let config = config_map(json!({"x": "1"}));
    let one = writer(CONFIG_MAP, "a").apply(None, None, &config, false).unwrap();
    let two = apply("b", &one, &config).unwrap();
    let left = apply("a", &two, &config_map(Value::Null)).unwrap();
    assert_eq!(left.object["data"], json!({"x": "1"}));
    assert_eq!(fields_of(left.managed.as_deref(), "b"), json!({"f:data": {"f:x": {}}}));
    let gone = apply("b", &left, &config_map(Value::Null)).unwrap();
    assert_eq!(gone.object["data"], Value::Null);
}

#[test]
fn items_of_keyed_lists_come_and_go_and_keys_have_defaults() {
    let service = |ports: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": ports}})
    };
    let w = writer(SERVICE, "a");
    let one = w.apply(None, None, &service(json!([{"port": 80}, {"port": 81}])), false).unwrap();
    let owned = fields_of(one.managed.as_deref(), "a");
    let key = "k:{\"port\":80,\"protocol\":\"TCP\"}";
    assert_eq!(owned["f:spec"]["f:ports"][key], json!({".": {}, "f:port": {}}));
    let config = service(json!([{"port": 81, "protocol": "TCP", "name": "n"}]));
    let two = w.apply(Some(&one.object), one.managed.as_deref(), &config, false).unwrap();
    let ports = json!([{"port": 81, "protocol": "TCP", "name": "n"}]);
    assert_eq!(two.object["spec"]["ports"], ports);
}

#[test]
fn updates_take_fields_and_the_oldest_become_ancient() {
    let mut live = config_map(json!({"x": "0"}));
    let mut managed = writer(CONFIG_MAP, "first").create(&live, &Owners::Live);
    for n in 0..12 {
        let manager = format!("m{n:02}");
        let now = format!("2024-01-02T03:04:{:02}Z", 10 + n);
        let mut next = live.clone();
        next["data"][manager.as_str()] = "1".into();
        let writer = Writer { manager: &manager, now: now.as_str(), ..writer(CONFIG_MAP, "") };
        managed = writer.update(&live, managed.as_deref(), &next, &Owners::Live);
        live = next;
    }
    let all = entries(managed.as_deref());
    let names: Vec<_> =
        all.as_array().unwrap().iter().map(|e| e["manager"].as_str().unwrap()).collect();
    assert_eq!(names.len(), managers::UPDATERS_MAX);
    assert_eq!(names[0], "ancient-changes");
    let ancient = fields_of(managed.as_deref(), "ancient-changes");
    assert!(ancient["f:data"]["f:x"].is_object() && ancient["f:data"]["f:m02"].is_object());

    // What an update removes nobody owns.
    let next = config_map(json!({"m11": "2"}));
    let managed =
        writer(CONFIG_MAP, "last").update(&live, managed.as_deref(), &next, &Owners::Live);
    let managed = managed.as_deref();
    assert_eq!(entries(managed).as_array().unwrap().len(), 2);
    // The map itself is there still.
    assert_eq!(fields_of(managed, "ancient-changes"), json!({"f:data": {}}));
    assert_eq!(fields_of(managed, "last"), json!({"f:data": {"f:m11": {}}}));
}

#[test]
fn owners_can_be_reset_and_given() {
    let live = config_map(json!({"x": "0"}));
    let managed = writer(CONFIG_MAP, "a").create(&live, &Owners::Live);
    for reset in [json!([]), json!([{}])] {
        let mut object = live.clone();
        object["metadata"]["managedFields"] = reset;
        let owners = Owners::take(&mut object);
        assert_eq!((owners.clone(), &object), (Owners::Reset, &live));
        let b = writer(CONFIG_MAP, "b");
        assert_eq!(b.update(&live, managed.as_deref(), &object, &owners), None);
        let status = Writer { subresource: "status", ..b };
        assert_eq!(status.update(&live, managed.as_deref(), &object, &owners), managed);
    }
    let given = json!([{"manager": "c", "operation": "Apply", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:x": {}}}, "time": NOW}]);
    let owners = Owners::Given(given.clone());
    let taken = writer(CONFIG_MAP, "b").update(&live, managed.as_deref(), &live, &owners);
    assert_eq!(entries(taken.as_deref()), given);
    let bad = Owners::Given(json!([{"manager": "c", "operation": "Dance"}]));
    let kept = writer(CONFIG_MAP, "b").update(&live, managed.as_deref(), &live, &bad);
    assert_eq!(kept, managed);
}

#[test]
fn objects_of_before_are_owned_before_the_first_apply() {
    let live = config_map(json!({"x": "0", "y": "0"}));
    let untracked =
        writer(CONFIG_MAP, "b").update(&live, None, &config_map(json!({})), &Owners::Live);
    assert_eq!(untracked, None);
    let w = writer(CONFIG_MAP, "a");
    let refused = w.apply(Some(&live), None, &config_map(json!({"x": "1"})), false).unwrap_err();
    assert!(refused.message.contains("\"before-first-apply\" using v1: .data.x"), "{refused:?}");
    let done = w.apply(Some(&live), None, &config_map(json!({"x": "0"})), false).unwrap();
    assert_eq!(
        fields_of(done.managed.as_deref(), "before-first-apply")["f:data"],
        json!({".": {}, "f:x": {}, "f:y": {}})
    );
}

#[test]
fn kubectl_takes_what_its_own_annotation_explains() {
    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut live = config_map(json!({"x": "0", "y": "0"}));
    let last = config_map(json!({"x": "0", "y": "9"}));
    live["metadata"]["annotations"] = json!({ANNOTATION: last.to_string()});
    let managed = writer(CONFIG_MAP, "kubectl-client-side-apply").create(&live, &Owners::Live);
    let kubectl = writer(CONFIG_MAP, "kubectl");
    let done = kubectl
        .apply(Some(&live), managed.as_deref(), &config_map(json!({"x": "1"})), false)
        .unwrap();
    assert_eq!(done.object["data"], json!({"x": "1", "y": "0"}));
    let annotation = done.object["metadata"]["annotations"][ANNOTATION].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap(), config_map(json!({"x": "1"})));
    // Somebody changed y since, so it is not kubectl's.
    let config = config_map(json!({"x": "1", "y": "1"}));
    let refused = kubectl.apply(Some(&live), managed.as_deref(), &config, false).unwrap_err();
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using v1: .data.y"
    );
}

#[test]
fn status_and_spec_are_owned_by_those_who_may_write_them() {
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let main = writer(DEPLOYMENT, "a").apply(None, None, &config, false).unwrap();
    assert_eq!(fields_of(main.managed.as_deref(), "a"), json!({"f:spec": {"f:replicas": {}}}));
    let status = Writer { subresource: "status", ..writer(DEPLOYMENT, "a") };
    let done = status.apply(Some(&main.object), main.managed.as_deref(), &config, false).unwrap();
    let all = entries(done.managed.as_deref());
    let written = all.as_array().unwrap().iter().find(|e| e["subresource"] == "status").unwrap();
    assert_eq!(written["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[test]
fn configurations_that_cannot_be_applied() {
    let w = writer(DEPLOYMENT, "a");
    let text = |config: Value| {
        let status = w.apply(None, None, &config, false).unwrap_err();
        (status.code, status.message.clone())
    };
    assert_eq!(
        text(json!({"apiVersion": "apps/v2", "kind": "Deployment"})),
        (400, "invalid object type: apps/v2, Kind=Deployment".into())
    );
    let mut config = deployment(json!({}));
    config["metadata"]["managedFields"] = json!([]);
    assert_eq!(text(config), (400, "metadata.managedFields must be nil".into()));
    assert_eq!(
        text(deployment(json!({"replicas": "x"}))),
        (
            500,
            "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string"
                .into()
        )
    );
    // The schema knows no integers, the decoder does.
    assert_eq!(text(deployment(json!({"replicas": 1.5}))).0, 400);
    assert_eq!(
        text(deployment(json!({"foo": 1}))),
        (
            500,
            "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): .spec.foo: field not declared in schema"
                .into()
        )
    );
}

#[test]
fn who_approves_owns_the_conditions() {
    use crate::kind::CERTIFICATE_SIGNING_REQUEST;
    let live = json!({"metadata": {"name": "c"}, "spec": {"signerName": "s"}});
    let owned = writer(CERTIFICATE_SIGNING_REQUEST, "a").create(&live, &Owners::Live);
    let mut new = live.clone();
    new["status"]["conditions"] = json!([{"type": "Approved", "status": "True"}]);
    let approver = Writer { subresource: "approval", ..writer(CERTIFICATE_SIGNING_REQUEST, "b") };
    let owned = approver.update(&live, owned.as_deref(), &new, &Owners::Live);
    assert_eq!(
        fields_of(owned.as_deref(), "b"),
        json!({"f:status": {"f:conditions": {".": {}, "k:{\"type\":\"Approved\"}":
            {".": {}, "f:status": {}, "f:type": {}}}}})
    );
}
