//! Decisions of the node controllers.

use std::{net::Ipv4Addr, time::Duration};

use kabuki_api::kind::{LEASE, NODE, POD};
use serde_json::{Value, json};

use super::*;
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan},
        model::Time,
    },
    registry::MemView,
};

const GRACE: Duration = Duration::from_secs(40);
const T0: Time = Time::from_secs(1_000_000);

fn after(seconds: u64) -> Time {
    T0 + Duration::from_secs(seconds)
}

fn node(name: &str, ready: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name}, "spec": {}, "status": {"conditions": [
        {"type": "Ready", "status": ready, "reason": "r",
            "lastHeartbeatTime": "1970-01-12T13:46:40Z"}]}})
}

fn lease(name: &str, renewed: Time) -> Value {
    json!({"metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"renewTime": renewed.rfc3339_micro()}})
}

fn pod(name: &str, node: &str, tolerations: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"nodeName": node, "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// Feeds every node as a change and decides on `name`.
fn decide(it: &mut NodeLifecycle, view: &MemView, name: &str, now: Time) -> Plan {
    use crate::registry::View;
    for object in view.list(NODE, None) {
        it.keys(view, &Change { object, previous: None, gone: false }, &mut Vec::new());
    }
    it.reconcile(view, &Key::new("", name), now).unwrap()
}

fn written<'a>(plan: &'a Plan, name: &str) -> Option<&'a Value> {
    plan.commands().into_iter().find_map(|command| match command {
        Command::Update { name: n, object, .. } if n == name => Some(object),
        _ => None,
    })
}

fn taints(plan: &Plan, name: &str) -> Vec<String> {
    let list = written(plan, name).map(|v| v["spec"]["taints"].clone()).unwrap_or_default();
    let text = |t: &Value, field: &str| t[field].as_str().unwrap_or_default().to_owned();
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(|t| format!("{}:{}", text(t, "key"), text(t, "effect"))).collect()
}

#[test]
fn a_silent_node_becomes_unknown_and_its_pods_unready() {
    let mut it = NodeLifecycle::new(GRACE);
    let mut view = MemView::new()
        .with(NODE, node("a", "True"))
        .with(NODE, node("b", "True"))
        .with(LEASE, lease("a", T0))
        .with(POD, pod("p", "a", json!([])));
    let plan = decide(&mut it, &view, "a", after(0));
    assert_eq!(plan.commands().len(), 0);
    assert_eq!(plan.requeue.map(|d| d.as_secs()), Some(40));
    view.put(LEASE, lease("a", after(10)));
    assert_eq!(decide(&mut it, &view, "a", after(30)).commands().len(), 0);
    let plan = decide(&mut it, &view, "a", after(69));
    assert_eq!(plan.commands().len(), 0, "counted from when the renewal was seen");
    let plan = decide(&mut it, &view, "a", after(71));
    let status = &written(&plan, "a").unwrap()["status"]["conditions"];
    assert_eq!(status[0]["status"], "Unknown");
    assert_eq!(status[0]["reason"], "NodeStatusUnknown");
    assert_eq!(status[1]["reason"], "NodeStatusNeverUpdated");
    let ready = &written(&plan, "p").unwrap()["status"]["conditions"][0];
    assert_eq!(ready["status"], "False");
    // It comes back: the kubelet reports, the taints go.
    view.put(NODE, written(&plan, "a").unwrap().clone());
    let plan = decide(&mut it, &view, "a", after(72));
    assert_eq!(
        taints(&plan, "a"),
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
    );
    let mut back = node("a", "True");
    back["spec"]["taints"] = written(&plan, "a").unwrap()["spec"]["taints"].clone();
    view.put(NODE, back);
    view.put(LEASE, lease("a", after(80)));
    let plan = decide(&mut it, &view, "a", after(80));
    assert!(written(&plan, "a").is_some() && taints(&plan, "a").is_empty());
}

#[test]
fn taints_follow_conditions_and_spare_foreign_ones() {
    let unready = |ready: &str| {
        let mut value = node("a", ready);
        value["spec"]["taints"] = json!([{"key": "mine", "effect": "NoSchedule"}]);
        value
    };
    let mut pressed = unready("True");
    pressed["spec"]["unschedulable"] = true.into();
    let pressure = json!({"type": "DiskPressure", "status": "True"});
    pressed["status"]["conditions"].as_array_mut().unwrap().push(pressure);
    let mut newborn = unready("True");
    newborn["status"] = json!({});
    for (value, expected) in [
        (unready("True"), vec![]),
        (
            unready("False"),
            vec![
                "mine:NoSchedule",
                "node.kubernetes.io/not-ready:NoSchedule",
                "node.kubernetes.io/not-ready:NoExecute",
            ],
        ),
        (
            pressed,
            vec![
                "mine:NoSchedule",
                "node.kubernetes.io/disk-pressure:NoSchedule",
                "node.kubernetes.io/unschedulable:NoSchedule",
            ],
        ),
        (newborn, vec!["mine:NoSchedule", "node.kubernetes.io/not-ready:NoSchedule"]),
    ] {
        let mut it = NodeLifecycle::new(GRACE);
        let view = MemView::new().with(NODE, value).with(NODE, node("other", "True"));
        let plan = decide(&mut it, &view, "a", T0);
        assert_eq!(taints(&plan, "a"), expected);
    }
}

#[test]
fn nothing_is_evicted_while_no_node_is_ready() {
    let mut it = NodeLifecycle::new(GRACE);
    let alone = MemView::new().with(NODE, node("a", "Unknown"));
    assert_eq!(
        taints(&decide(&mut it, &alone, "a", T0), "a"),
        ["node.kubernetes.io/unreachable:NoSchedule"]
    );
}

#[test]
fn pods_leave_when_their_toleration_is_over() {
    let tainted = |seconds: u64| {
        let mut value = node("a", "Unknown");
        value["spec"]["taints"] = json!([{"key": "node.kubernetes.io/unreachable",
            "effect": "NoExecute", "timeAdded": after(seconds).rfc3339()}]);
        value
    };
    let tolerate = |seconds: Option<i64>| {
        json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": seconds}])
    };
    for (tolerations, at, gone, wait) in [
        (json!([]), 20, true, None),
        (tolerate(Some(60)), 20, false, Some(40)),
        (tolerate(Some(60)), 60, true, None),
        (tolerate(Some(0)), 20, true, None),
        (tolerate(None), 9999, false, None),
        (json!([]), 3, false, Some(12)),
    ] {
        let mut it = TaintEviction::new(Duration::from_secs(15));
        let view = MemView::new().with(NODE, tainted(0)).with(POD, pod("p", "a", tolerations));
        it.reconcile(&MemView::new(), &Key::new("", "x"), T0).unwrap();
        let plan = it.reconcile(&view, &Key::new("", "a"), after(at)).unwrap();
        let deleted = plan.commands().iter().any(|c| matches!(c, Command::Delete { .. }));
        assert_eq!(deleted, gone, "{at}");
        assert_eq!(plan.requeue.map(|d| d.as_secs()), wait);
    }
}

#[test]
fn every_node_gets_its_own_range() {
    let mut ipam = NodeIpam { range: (Ipv4Addr::new(10, 244, 0, 0), 16), node_bits: 24 };
    let mut view = MemView::new();
    for (name, expected) in [("a", "10.244.0.0/24"), ("b", "10.244.1.0/24"), ("c", "10.244.2.0/24")]
    {
        view.put(NODE, node(name, "True"));
        let plan = ipam.reconcile(&view, &Key::new("", name), T0).unwrap();
        let value = written(&plan, name).unwrap().clone();
        assert_eq!(value["spec"]["podCIDR"], expected);
        assert_eq!(value["spec"]["podCIDRs"], json!([expected]));
        view.put(NODE, value);
        assert_eq!(ipam.reconcile(&view, &Key::new("", name), T0).unwrap(), Plan::done());
    }
    view.remove(NODE, "", "b");
    view.put(NODE, node("d", "True"));
    let plan = ipam.reconcile(&view, &Key::new("", "d"), T0).unwrap();
    assert_eq!(written(&plan, "d").unwrap()["spec"]["podCIDR"], "10.244.1.0/24", "used again");
    ipam.node_bits = 17;
    view.put(NODE, json!({"metadata": {"name": "e"}, "spec": {"podCIDR": "10.244.0.0/17"}}));
    view.put(NODE, json!({"metadata": {"name": "f"}, "spec": {"podCIDR": "10.244.128.0/17"}}));
    view.put(NODE, node("g", "True"));
    assert!(ipam.reconcile(&view, &Key::new("", "g"), T0).is_err());
}

#[test]
fn pods_of_vanished_nodes_are_removed_after_a_while() {
    let mut gc = PodGc::new(Duration::from_secs(40));
    let mut unborn = pod("unborn", "", json!([]));
    unborn["metadata"]["deletionTimestamp"] = T0.rfc3339().into();
    let view = MemView::new()
        .with(NODE, node("a", "True"))
        .with(POD, pod("stays", "a", json!([])))
        .with(POD, pod("lost", "b", json!([])))
        .with(POD, unborn);
    let names = |plan: &Plan| -> Vec<String> {
        let deletes = plan.commands().into_iter().filter_map(|c| match c {
            Command::Delete { name, options, .. } => {
                assert_eq!(options.grace_period_seconds, Some(0));
                Some(name.clone())
            }
            _ => None,
        });
        deletes.collect()
    };
    let key = Key::new("", "pods");
    let plan = gc.reconcile(&view, &key, T0).unwrap();
    assert_eq!(names(&plan), ["unborn"]);
    let plan = gc.reconcile(&view, &key, after(41)).unwrap();
    assert_eq!(names(&plan), ["lost", "unborn"]);
    assert_eq!(written(&plan, "lost").unwrap()["status"]["phase"], "Failed");
}
