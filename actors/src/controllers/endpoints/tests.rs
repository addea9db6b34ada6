//! Decisions of both endpoint controllers.

use kabuki_api::kind::{ENDPOINT_SLICE, ENDPOINTS, NODE, POD, SERVICE};
use serde_json::{Value, json};

use super::*;
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan},
        model::Time,
    },
    registry::MemView,
};

fn service(extra: Value) -> Value {
    let mut value = json!({"metadata": {"name": "web", "namespace": "ns", "uid": "svc",
            "labels": {"team": "a"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]}});
    for (name, field) in extra.as_object().unwrap() {
        value["spec"][name] = field.clone();
    }
    value
}

fn pod(name: &str, ip: &str, ready: bool) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c",
            "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}

fn node() -> Value {
    json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z"}}})
}

fn slices(view: &MemView) -> Plan {
    let key = Key::new("ns", "web");
    EndpointSliceController.reconcile(view, &key, Time::from_secs(0)).unwrap()
}

fn endpoints(view: &MemView) -> Plan {
    EndpointsController.reconcile(view, &Key::new("ns", "web"), Time::from_secs(0)).unwrap()
}

fn object(command: &Command) -> &Value {
    match command {
        Command::Create { object, .. } | Command::Update { object, .. } => object,
        other => panic!("{other:?}"),
    }
}

fn base(extra: Value) -> MemView {
    MemView::new().with(SERVICE, service(extra)).with(NODE, node())
}

/// What the store would hold after a create with a generated name.
fn stored(mut value: Value, name: &str) -> Value {
    value["metadata"]["name"] = name.into();
    value["metadata"]["uid"] = name.into();
    value
}

#[test]
fn a_slice_says_everything_about_its_endpoints() {
    let view = base(json!({})).with(POD, pod("a", "10.244.0.2", true));
    let plan = slices(&view);
    let slice = object(plan.commands()[0]);
    assert_eq!(slice["metadata"]["generateName"], "web-");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "a", "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "svc");
    assert_eq!(slice["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(
        slice["endpoints"],
        json!([{"addresses": ["10.244.0.2"], "nodeName": "n1", "zone": "z",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "a"}}])
    );
    let settled = view.with(ENDPOINT_SLICE, stored(slice.clone(), "web-x"));
    assert_eq!(slices(&settled), Plan::done());
}

#[test]
fn conditions_of_endpoints() {
    let mut leaving = pod("a", "10.244.0.2", true);
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    for (extra, pod, expected) in [
        (json!({}), pod("a", "10.244.0.2", true), Some((true, true, false))),
        (json!({}), pod("a", "10.244.0.2", false), Some((false, false, false))),
        (json!({}), leaving, Some((false, true, true))),
        (
            json!({"publishNotReadyAddresses": true}),
            pod("a", "10.244.0.2", false),
            Some((true, false, false)),
        ),
        (json!({}), pod("a", "", true), None),
    ] {
        let plan = slices(&base(extra).with(POD, pod));
        let c = &object(plan.commands()[0])["endpoints"][0]["conditions"];
        let found = c.is_object().then(|| {
            let flag = |name: &str| c[name] == true;
            (flag("ready"), flag("serving"), flag("terminating"))
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn endpoints_stay_in_their_slices() {
    let mut view = base(json!({}));
    for n in 0..150 {
        view.put(POD, pod(&format!("p{n:03}"), &format!("10.244.0.{n}"), true));
    }
    let plan = slices(&view);
    let sizes: Vec<_> =
        plan.commands().iter().map(|c| object(c)["endpoints"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 50]);
    for (n, command) in plan.commands().iter().enumerate() {
        view.put(ENDPOINT_SLICE, stored(object(command).clone(), &format!("web-{n}")));
    }
    assert_eq!(slices(&view), Plan::done());
    view.remove(POD, "ns", "p003");
    view.put(POD, pod("new", "10.244.1.1", true));
    let plan = slices(&view);
    let names: Vec<_> = plan
        .commands()
        .iter()
        .map(|c| object(c)["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["web-0"], "the newcomer takes the free place");
}

#[test]
fn a_service_without_endpoints_keeps_one_empty_slice() {
    let plan = slices(&base(json!({})));
    let slice = object(plan.commands()[0]).clone();
    assert_eq!(slice["endpoints"], json!([]));
    let view = base(json!({})).with(ENDPOINT_SLICE, stored(slice, "web-0"));
    assert_eq!(slices(&view), Plan::done());
    for extra in [json!({"selector": {}}), json!({"type": "ExternalName"})] {
        assert_eq!(slices(&base(extra)), Plan::done());
    }
}

#[test]
fn pods_of_vanished_nodes_are_no_endpoints() {
    let view =
        MemView::new().with(SERVICE, service(json!({}))).with(POD, pod("a", "10.0.0.2", true));
    assert_eq!(object(slices(&view).commands()[0])["endpoints"], json!([]));
    assert_eq!(object(endpoints(&view).commands()[0])["subsets"], json!([]));
}

#[test]
fn legacy_endpoints() {
    let mut odd = pod("odd", "10.244.0.4", true);
    odd["spec"]["containers"][0]["ports"][0]["containerPort"] = 9090.into();
    let view = base(json!({"clusterIP": "None"}))
        .with(POD, pod("b", "10.244.0.3", true))
        .with(POD, pod("a", "10.244.0.2", false))
        .with(POD, odd);
    let plan = endpoints(&view);
    let value = object(plan.commands()[0]);
    let subsets = &value["subsets"];
    assert_eq!(subsets[0]["addresses"][0]["ip"], "10.244.0.3");
    assert_eq!(subsets[0]["notReadyAddresses"][0]["ip"], "10.244.0.2");
    assert_eq!(subsets[0]["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(subsets[1]["addresses"][0]["ip"], "10.244.0.4");
    assert_eq!(value["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let mut settled = view.clone().with(ENDPOINTS, value.clone());
    assert_eq!(endpoints(&settled), Plan::done());
    settled.remove(SERVICE, "ns", "web");
    assert!(matches!(endpoints(&settled).commands()[0], Command::Delete { .. }));
    let foreign =
        MemView::new().with(ENDPOINTS, json!({"metadata": {"name": "web", "namespace": "ns"}}));
    assert_eq!(endpoints(&foreign), Plan::done());
}

#[test]
fn changes_that_make_no_difference_concern_nobody() {
    let view = base(json!({}));
    let version = |ready: bool, restarts: i64| {
        let mut value = pod("a", "10.244.0.2", ready);
        value["status"]["containerStatuses"] = json!([{"restartCount": restarts}]);
        MemView::new().put(POD, value)
    };
    for (before, after, expected) in [
        (Some(version(true, 0)), version(true, 1), 0),
        (Some(version(false, 0)), version(true, 0), 1),
        (None, version(true, 0), 1),
    ] {
        let mut keys = Vec::new();
        let change = Change { object: after, previous: before, gone: false };
        EndpointSliceController.keys(&view, &change, &mut keys);
        assert_eq!(keys.len(), expected);
    }
}
