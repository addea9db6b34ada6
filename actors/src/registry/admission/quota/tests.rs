//! What quotas refuse, in upstream's words, and what they are charged.

use kabuki_api::kind::{CONFIG_MAP, DEPLOYMENT};
use time::macros::datetime;

use super::*;
use crate::registry::MemView;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn quota(hard: Value, used: Value) -> MemView {
    MemView::new().with(
        RESOURCE_QUOTA,
        json!({"metadata": {"name": "q", "namespace": "d"}, "spec": {"hard": hard},
            "status": {"hard": hard, "used": used}}),
    )
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "d"}, "spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": "Pending"}})
}

fn create(view: &dyn View, kind: &'static Kind, new: &Value) -> Result<Vec<Value>, String> {
    let write = Write { kind, old: None, new, sub: Subresource::Main, now: NOW };
    charged(view, &write)
}

fn charged(view: &dyn View, write: &Write<'_>) -> Result<Vec<Value>, String> {
    assert!(concerns(write));
    match charge(view, write) {
        Ok(charges) => Ok(charges.into_iter().map(|c| c.status["used"].clone()).collect()),
        Err(status) => {
            assert_eq!(status.code, 403);
            Err(status.message.clone())
        }
    }
}

#[test]
fn a_pod_is_charged_or_refused() {
    let view = quota(
        json!({"pods": "3", "requests.cpu": "2", "secrets": "1"}),
        json!({"pods": "1", "requests.cpu": "1", "secrets": "0"}),
    );
    assert_eq!(
        create(&view, POD, &pod("p", "500m")).unwrap(),
        [json!({"pods": "2", "requests.cpu": "1500m", "secrets": "0"})]
    );
    assert_eq!(
        create(&view, POD, &pod("p", "1500m")).unwrap_err(),
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=1, limited: requests.cpu=2"
    );
    let mut silent = pod("p", "1");
    silent["spec"]["containers"] = json!([{"name": "a"}, {"name": "b"}]);
    assert_eq!(
        create(&view, POD, &silent).unwrap_err(),
        "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: a,b"
    );
    let full =
        quota(json!({"pods": "1", "count/pods": "1"}), json!({"pods": "1", "count/pods": "1"}));
    assert_eq!(
        create(&full, POD, &pod("p", "1")).unwrap_err(),
        "pods \"p\" is forbidden: exceeded quota: q, requested: count/pods=1,pods=1, used: count/pods=1,pods=1, limited: count/pods=1,pods=1"
    );
    let several = quota(
        json!({"limits.cpu": "1", "limits.memory": "1Gi", "cpu": "1"}),
        json!({"limits.cpu": "0", "limits.memory": "0", "cpu": "0"}),
    );
    assert_eq!(
        create(&several, POD, &pod("p", "1")).unwrap_err(),
        "pods \"p\" is forbidden: failed quota: q: must specify limits.cpu for: c; limits.memory for: c"
    );
    assert_eq!(
        create(&full, CONFIG_MAP, &json!({"metadata": {"name": "m", "namespace": "d"}})),
        Ok(vec![])
    );
}

#[test]
fn what_nobody_counted_is_counted() {
    let mut view = MemView::new()
        .with(
            RESOURCE_QUOTA,
            json!({"metadata": {"name": "q", "namespace": "d"}, "status": {},
                "spec": {"hard": {"pods": "3", "count/deployments.apps": "1", "x.y/z": "1"}}}),
        )
        .with(POD, pod("a", "1"))
        .with(POD, pod("b", "1"))
        .with(
            POD,
            json!({"metadata": {"name": "over", "namespace": "d"}, "status": {"phase": "Failed"}}),
        )
        .with(POD, json!({"metadata": {"name": "a", "namespace": "elsewhere"}}));
    let used = json!({"pods": "3", "count/deployments.apps": "0"});
    assert_eq!(create(&view, POD, &pod("p", "1")).unwrap(), [used]);
    view.put(POD, pod("c", "1"));
    assert_eq!(
        create(&view, POD, &pod("p", "1")).unwrap_err(),
        "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"
    );
    view.put(DEPLOYMENT, json!({"metadata": {"name": "x", "namespace": "d"}}));
    let own = view.get(RESOURCE_QUOTA, "d", "q").unwrap();
    assert_eq!(
        counted_status(&view, &own, NOW),
        json!({"hard": {"pods": "3", "count/deployments.apps": "1", "x.y/z": "1"},
            "used": {"pods": "3", "count/deployments.apps": "1"}})
    );
}

#[test]
fn changes_are_charged_what_they_add() {
    let service = |ports: &Value, own: &str| json!({"metadata": {"name": "s", "namespace": "d"}, "spec": {"type": own, "ports": ports}});
    let (one, two) = (json!([{"port": 1}]), json!([{"port": 1}, {"port": 2}]));
    let view = quota(
        json!({"services": "1", "services.nodeports": "1"}),
        json!({"services": "1", "services.nodeports": "0"}),
    );
    let change = |old: &Value, new: &Value| {
        let sub = Subresource::Main;
        charged(&view, &Write { kind: SERVICE, old: Some(old), new, sub, now: NOW })
    };
    let plain = service(&two, "ClusterIP");
    assert_eq!(
        change(&plain, &service(&one, "NodePort")).unwrap(),
        [json!({"services": "1", "services.nodeports": "1"})]
    );
    assert_eq!(
        change(&plain, &service(&two, "NodePort")).unwrap_err(),
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
    );
    assert_eq!(change(&service(&two, "NodePort"), &plain), Ok(vec![]), "less is the controller's");
}

#[test]
fn only_what_frees_something_is_counted_again() {
    let view = quota(json!({"pods": "1"}), json!({"pods": "1"}));
    let own = view.get(RESOURCE_QUOTA, "d", "q").unwrap();
    let object = |value: &Value| Object::from_value(POD, value, 1);
    let running = object(&pod("p", "1"));
    let mut over = pod("p", "1");
    over["status"]["phase"] = "Succeeded".into();
    let over = object(&over);
    assert!(frees(&own, POD, &running, Some(&over), NOW));
    assert!(!frees(&own, POD, &running, Some(&running), NOW));
    assert!(!frees(&own, POD, &over, Some(&over), NOW));
    assert!(frees(&own, POD, &running, None, NOW));
    assert!(!frees(&own, CONFIG_MAP, &running, None, NOW));
}
