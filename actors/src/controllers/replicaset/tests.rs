//! Decisions of the ReplicaSet controller, as tables.

use kabuki_api::status::Status;

use super::*;
use crate::registry::MemView;

const NOW: Time = Time::from_secs(1_000_000);

fn set(replicas: i64) -> Value {
    json!({"metadata": {"name": "web", "namespace": "ns", "uid": "rs", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        "status": {"replicas": 0}})
}

fn pod(name: &str, owner: &str) -> Value {
    let owners = match owner {
        "" => json!([]),
        uid => json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid,
            "controller": true}]),
    };
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "web"},
            "creationTimestamp": "1970-01-10T00:00:00Z", "ownerReferences": owners},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-12T13:46:00Z"}]}})
}

fn decide(view: &MemView) -> Plan {
    ReplicaSetController.reconcile(view, &Key::new("ns", "web"), NOW).unwrap()
}

fn creates(plan: &Plan) -> usize {
    plan.commands().iter().filter(|c| matches!(c, Command::Create { .. })).count()
}

fn deletes(plan: &Plan) -> Vec<String> {
    plan.commands()
        .iter()
        .filter_map(|c| match c {
            Command::Delete { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect()
}

fn status(plan: &Plan) -> Value {
    plan.commands()
        .iter()
        .find_map(|c| match c {
            Command::Update { object, name, .. } if name == "web" => Some(object["status"].clone()),
            _ => None,
        })
        .unwrap_or_default()
}

#[test]
fn creates_what_is_missing_in_growing_batches() {
    let plan = decide(&MemView::new().with(REPLICA_SET, set(10)));
    let sizes: Vec<_> = plan.stages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 4, 3], "the status is written beside the first");
    assert_eq!(creates(&decide(&MemView::new().with(REPLICA_SET, set(9999)))), MAX_BURST);
    let Command::Create { object, .. } = plan.commands()[0] else { panic!() };
    assert_eq!(object["metadata"]["generateName"], "web-");
    assert_eq!(object["metadata"]["labels"]["app"], "web");
    assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "rs");
    assert_eq!(object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], true);
}

#[test]
fn ended_and_leaving_pods_do_not_count() {
    let mut ended = pod("a", "rs");
    ended["status"]["phase"] = "Failed".into();
    let mut leaving = pod("b", "rs");
    leaving["metadata"]["deletionTimestamp"] = "1970-01-12T13:46:40Z".into();
    let view = MemView::new().with(REPLICA_SET, set(2)).with(POD, ended).with(POD, leaving);
    let plan = decide(&view.with(POD, pod("c", "rs")));
    assert_eq!(creates(&plan), 1);
    assert_eq!(status(&plan)["replicas"], 1);
    assert_eq!(status(&plan)["terminatingReplicas"], 1);
    assert_eq!(status(&plan)["observedGeneration"], 3);
}

#[test]
fn deletes_the_least_valuable_pods() {
    let mut unassigned = pod("unassigned", "rs");
    unassigned["spec"]["nodeName"] = "".into();
    let mut pending = pod("pending", "rs");
    pending["status"]["phase"] = "Pending".into();
    let mut unready = pod("unready", "rs");
    unready["status"]["conditions"][0]["status"] = "False".into();
    let mut cheap = pod("cheap", "rs");
    cheap["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
    let mut alone = pod("alone", "rs");
    alone["spec"]["nodeName"] = "n2".into();
    let mut young = pod("young", "rs");
    young["metadata"]["creationTimestamp"] = "1970-01-11T00:00:00Z".into();
    let pods = [alone, pod("old", "rs"), young, cheap, unready, pending, unassigned];
    let expected = ["unassigned", "pending", "unready", "cheap", "young", "old", "alone"];
    for keep in 0..expected.len() {
        let mut view = MemView::new().with(REPLICA_SET, set(i64::try_from(keep).unwrap()));
        for pod in &pods {
            view.put(POD, pod.clone());
        }
        assert_eq!(deletes(&decide(&view)), expected[..expected.len() - keep]);
    }
}

#[test]
fn adopts_orphans_and_releases_strangers() {
    let mut stranger = pod("stranger", "rs");
    stranger["metadata"]["labels"] = json!({"app": "other"});
    let view = MemView::new()
        .with(REPLICA_SET, set(2))
        .with(POD, stranger)
        .with(POD, pod("orphan", ""))
        .with(POD, pod("foreign", "someone-else"));
    let plan = decide(&view);
    assert_eq!(creates(&plan), 1, "the orphan counts, the others do not");
    let owners = |wanted: &str| {
        plan.commands().iter().find_map(|c| match c {
            Command::Update { name, object, .. } if name == wanted => {
                object["metadata"]["ownerReferences"].as_array().map(Vec::len)
            }
            _ => None,
        })
    };
    assert_eq!(owners("orphan"), Some(1));
    assert_eq!(owners("stranger"), Some(0));
    assert_eq!(owners("foreign"), None);
}

#[test]
fn a_set_that_is_being_deleted_creates_nothing() {
    let mut gone = set(3);
    gone["metadata"]["deletionTimestamp"] = "1970-01-12T13:46:40Z".into();
    assert_eq!(creates(&decide(&MemView::new().with(REPLICA_SET, gone))), 0);
    assert_eq!(decide(&MemView::new()), Plan::done());
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let mut slow = set(1);
    slow["spec"]["minReadySeconds"] = 60.into();
    let plan = decide(&MemView::new().with(REPLICA_SET, slow).with(POD, pod("a", "rs")));
    // Ready since 13:46:00, now is 13:46:40.
    assert_eq!(status(&plan)["readyReplicas"], 1);
    assert_eq!(status(&plan).get("availableReplicas"), None);
    assert_eq!(plan.requeue.map(|d| d.as_secs()), Some(20));
}

#[test]
fn a_settled_set_writes_nothing() {
    let mut settled = set(1);
    settled["status"] = json!({"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1,
        "availableReplicas": 1, "observedGeneration": 3, "terminatingReplicas": 0});
    let plan = decide(&MemView::new().with(REPLICA_SET, settled).with(POD, pod("a", "rs")));
    assert_eq!(plan, Plan::done());
}

#[test]
fn a_refused_create_shows_in_the_status_once() {
    let view = MemView::new().with(REPLICA_SET, set(1));
    let failure = Failure {
        what: "create".into(),
        verb: Verb::Create,
        name: String::new(),
        status: Status::bad_request("no"),
    };
    let plan = ReplicaSetController.refused(&view, &Key::new("ns", "web"), NOW, &failure);
    let condition = &status(&plan)["conditions"][0];
    assert_eq!(condition["reason"], "FailedCreate");
    let mut failing = set(1);
    failing["status"] = status(&plan);
    assert_eq!(condition["message"], "no");
    let view = MemView::new().with(REPLICA_SET, failing);
    let plan = ReplicaSetController.refused(&view, &Key::new("ns", "web"), NOW, &failure);
    assert_eq!(status(&plan), Value::Null);
}

#[test]
fn changes_find_their_sets() {
    let view = MemView::new().with(REPLICA_SET, set(1));
    for (object, expected) in [(pod("a", "rs"), 1), (pod("a", ""), 1)] {
        let object = MemView::new().put(POD, object);
        let mut keys = Vec::new();
        let change = Change { object, previous: None, gone: false };
        ReplicaSetController.keys(&view, &change, &mut keys);
        assert_eq!(keys.len(), expected);
    }
}
