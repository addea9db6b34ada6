//! Decisions of the Deployment controller, and whole rollouts played against a pretended cluster.

use kabuki_api::kind::{DEPLOYMENT, POD, REPLICA_SET};
use serde_json::{Value, json};

use super::*;
use crate::registry::MemView;

const NOW: Time = Time::from_secs(1_000_000);

fn deployment(replicas: i64, image: &str) -> Value {
    json!({"metadata": {"name": "web", "namespace": "ns", "uid": "d", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}},
        "status": {}})
}

/// A store, and ReplicaSets whose pods are always ready (or never).
struct World {
    view: MemView,
    now: Time,
    events: Vec<String>,
    created: i64,
    healthy: bool,
}

impl World {
    fn new(deployment: Value) -> Self {
        let view = MemView::new().with(DEPLOYMENT, deployment);
        Self { view, now: NOW, events: Vec::new(), created: 0, healthy: true }
    }

    fn decide(&self) -> Plan {
        DeploymentController.reconcile(&self.view, &Key::new("ns", "web"), self.now).unwrap()
    }

    fn apply(&mut self, plan: &Plan) {
        for command in plan.commands() {
            match command.clone() {
                Command::Create { kind, mut object, .. } => {
                    self.created += 1;
                    object["metadata"]["uid"] = object["metadata"]["name"].clone();
                    object["metadata"]["generation"] = 1.into();
                    object["metadata"]["creationTimestamp"] =
                        Time::from_secs(500_000 + self.created).rfc3339().into();
                    object["status"] = json!({"replicas": 0});
                    self.view.put(kind, object);
                }
                Command::Update { kind, object, .. } => drop(self.view.put(kind, object)),
                Command::Delete { kind, namespace, name, .. } => {
                    self.view.remove(kind, &namespace, &name);
                }
                Command::Record(note) => self.events.push(note.message),
            }
        }
    }

    /// ReplicaSets reach their numbers.
    fn settle_sets(&mut self) {
        for set in self.sets() {
            let replicas = set["spec"]["replicas"].as_i64().unwrap();
            let ready = if self.healthy || set["metadata"]["annotations"]["was"] == "ready" {
                replicas
            } else {
                0
            };
            let mut set = set;
            set["status"] = json!({"replicas": replicas, "readyReplicas": ready,
                "availableReplicas": ready, "observedGeneration": 1});
            self.view.put(REPLICA_SET, set);
        }
    }

    fn sets(&self) -> Vec<Value> {
        self.view.list(REPLICA_SET, Some("ns")).iter().map(|o| o.value().clone()).collect()
    }

    /// (new image first) image and number of every ReplicaSet that has pods.
    fn sizes(&self) -> Vec<(String, i64)> {
        let mut sizes: Vec<_> = self
            .sets()
            .iter()
            .map(|s| {
                let image = s["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
                (image.unwrap().to_owned(), s["spec"]["replicas"].as_i64().unwrap())
            })
            .filter(|(_, n)| *n > 0)
            .collect();
        sizes.sort();
        sizes
    }

    fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut value = self.view.get(DEPLOYMENT, "ns", "web").unwrap().value().clone();
        change(&mut value);
        let generation = value["metadata"]["generation"].as_i64().unwrap();
        value["metadata"]["generation"] = (generation + 1).into();
        self.view.put(DEPLOYMENT, value);
    }

    fn set_image(&mut self, image: &str) {
        self.change(|v| v["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
    }

    fn status(&self) -> Value {
        self.view.get(DEPLOYMENT, "ns", "web").unwrap().value()["status"].clone()
    }

    fn condition(&self, kind: &str) -> (String, String) {
        let status = self.status();
        let list = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = list.iter().find(|c| c["type"] == kind).cloned().unwrap_or_default();
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Until nothing changes; checks the bounds at every step.
    fn run(&mut self, bounds: Option<(i64, i64)>) {
        for _ in 0..100 {
            let plan = self.decide();
            if plan.stages.is_empty() {
                return;
            }
            self.apply(&plan);
            if let Some((least, most)) = bounds {
                let asked: i64 = self.sizes().iter().map(|(_, n)| n).sum();
                assert!(asked <= most, "{:?}", self.sizes());
                // What is available and is not being taken away.
                let keeps: i64 = self
                    .sets()
                    .iter()
                    .map(|s| {
                        let available = s["status"]["availableReplicas"].as_i64().unwrap_or(0);
                        available.min(s["spec"]["replicas"].as_i64().unwrap())
                    })
                    .sum();
                assert!(keeps >= least, "{:?}", self.sets());
            }
            self.settle_sets();
        }
        panic!("never settles: {:?}", self.decide());
    }
}

fn named(image: &str, n: i64) -> (String, i64) {
    (image.to_owned(), n)
}

#[test]
fn the_first_rollout() {
    let mut world = World::new(deployment(3, "v1"));
    world.run(None);
    assert_eq!(world.sizes(), [named("v1", 3)]);
    let set = &world.sets()[0];
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);
    assert_eq!(set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], hash);
    let notes = &set["metadata"]["annotations"];
    assert_eq!(notes["deployment.kubernetes.io/revision"], "1");
    assert_eq!(notes["deployment.kubernetes.io/desired-replicas"], "3");
    assert_eq!(notes["deployment.kubernetes.io/max-replicas"], "4");
    assert_eq!(world.events, [format!("Scaled up replica set web-{hash} from 0 to 3")]);
    let status = world.status();
    assert_eq!(status["updatedReplicas"], 3);
    assert_eq!(status["availableReplicas"], 3);
    assert_eq!(status.get("unavailableReplicas"), None);
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(world.condition("Available").1, "MinimumReplicasAvailable");
    assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
    let object = world.view.get(DEPLOYMENT, "ns", "web").unwrap();
    assert_eq!(object.annotation("deployment.kubernetes.io/revision"), Some("1"));
}

#[test]
fn a_rolling_update_keeps_its_bounds() {
    for (replicas, surge, unavailable, least, most) in [
        (10, json!("25%"), json!("25%"), 8, 13),
        (4, json!(0), json!(1), 3, 4),
        (1, json!(1), json!(0), 1, 2),
        (5, json!("100%"), json!("100%"), 0, 10),
    ] {
        let mut start = deployment(replicas, "v1");
        start["spec"]["strategy"]["rollingUpdate"] =
            json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let mut world = World::new(start);
        world.run(None);
        world.set_image("v2");
        world.run(Some((least, most)));
        assert_eq!(world.sizes(), [named("v2", replicas)]);
        assert_eq!(world.condition("Progressing").1, "NewReplicaSetAvailable");
        assert_eq!(world.status()["observedGeneration"], 2);
    }
}

#[test]
fn a_bad_image_stops_in_the_middle_and_times_out() {
    let mut world = World::new(deployment(4, "v1"));
    world.run(None);
    let mut good = world.sets().remove(0);
    good["metadata"]["annotations"]["was"] = "ready".into();
    world.view.put(REPLICA_SET, good);
    world.healthy = false;
    world.set_image("bad");
    world.run(Some((3, 5)));
    assert_eq!(world.sizes(), [named("bad", 2), named("v1", 3)]);
    assert_eq!(world.condition("Available").0, "True");
    assert_eq!(world.condition("Progressing").1, "ReplicaSetUpdated");
    assert!(world.decide().requeue.unwrap().as_secs() <= 601);
    world.now = Time::from_secs(1_000_700);
    world.run(Some((3, 5)));
    assert_eq!(world.condition("Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    assert_eq!(world.decide(), Plan::done(), "and then it rests");
    // Undo: the old template again. Its ReplicaSet becomes revision 3.
    world.set_image("v1");
    world.run(Some((3, 5)));
    assert_eq!(world.sizes(), [named("v1", 4)]);
    let revisions: Vec<_> = world
        .sets()
        .iter()
        .map(|s| s["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone())
        .collect();
    assert!(revisions.contains(&json!("3")) && revisions.contains(&json!("2")));
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let mut start = deployment(2, "v1");
    start["spec"]["strategy"] = json!({"type": "Recreate"});
    let mut world = World::new(start);
    world.run(None);
    let old = world.sets()[0]["metadata"]["uid"].clone();
    let lingering = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "p",
        "labels": {"app": "web"}, "ownerReferences": [{"kind": "ReplicaSet", "uid": old,
            "name": old, "controller": true}]}, "status": {"phase": "Running"}});
    let pod = world.view.put(POD, lingering);
    world.set_image("v2");
    world.run(None);
    assert_eq!(world.sizes(), [], "the old ones are going, the new ones wait");
    world.view.remove(POD, "ns", "p");
    let mut keys = Vec::new();
    let change = Change { object: pod, previous: None, gone: true };
    DeploymentController.keys(&world.view, &change, &mut keys);
    assert_eq!(keys, [Key::new("ns", "web")]);
    world.run(None);
    assert_eq!(world.sizes(), [named("v2", 2)]);
}

#[test]
fn recreate_waits_until_the_old_replica_set_has_acted_on_its_last_size() {
    let mut start = deployment(2, "v1");
    start["spec"]["strategy"] = json!({"type": "Recreate"});
    let mut world = World::new(start);
    world.run(None);
    world.set_image("v2");
    let plan = world.decide();
    world.apply(&plan);
    let creates = |plan: &Plan| {
        plan.commands().iter().filter(|c| matches!(c, Command::Create { .. })).count()
    };
    let mut old = world.sets()[0].clone();
    old["metadata"]["generation"] = 2.into();
    old["status"] = json!({"replicas": 0, "observedGeneration": 1});
    world.view.put(REPLICA_SET, old.clone());
    assert_eq!(creates(&world.decide()), 0, "a pod of it may be under way");
    old["status"]["observedGeneration"] = 2.into();
    world.view.put(REPLICA_SET, old);
    assert_eq!(creates(&world.decide()), 1);
}

#[test]
fn pausing_and_scaling() {
    let mut world = World::new(deployment(10, "v1"));
    world.run(None);
    world.set_image("v2");
    for _ in 0..3 {
        let plan = world.decide();
        world.apply(&plan);
    }
    let middle = world.sizes();
    assert_eq!(middle, [named("v1", 8), named("v2", 5)]);
    world.settle_sets();
    world.change(|v| v["spec"]["paused"] = true.into());
    world.run(None);
    assert_eq!(world.sizes(), middle, "paused");
    assert_eq!(world.condition("Progressing").1, "DeploymentPaused");
    world.change(|v| v["spec"]["replicas"] = 20.into());
    world.run(None);
    assert_eq!(world.sizes(), [named("v1", 15), named("v2", 10)], "each gets its share of 25");
    world.change(|v| v["spec"]["paused"] = false.into());
    world.run(Some((15, 25)));
    assert_eq!(world.sizes(), [named("v2", 20)]);
    world.change(|v| v["spec"]["replicas"] = 0.into());
    world.run(None);
    assert_eq!(world.sizes(), []);
}

#[test]
fn history_is_limited() {
    let mut start = deployment(1, "v1");
    start["spec"]["revisionHistoryLimit"] = 2.into();
    let mut world = World::new(start);
    for n in 1..=5 {
        world.set_image(&format!("v{n}"));
        world.run(None);
    }
    assert_eq!(world.sets().len(), 3, "the new one and two old ones");
    assert_eq!(world.sizes(), [named("v5", 1)]);
}

#[test]
fn a_taken_name_changes_the_hash() {
    let world = World::new(deployment(1, "v1"));
    let plan = world.decide();
    let Command::Create { object, .. } = plan.commands()[0] else { panic!() };
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let foreign = json!({"metadata": {"name": name, "namespace": "ns", "uid": "x"}});
    let view = world.view.with(REPLICA_SET, foreign);
    let failure = Failure {
        what: String::new(),
        verb: Verb::Create,
        name,
        status: kabuki_api::status::Status::already_exists(REPLICA_SET, "x"),
    };
    let plan = DeploymentController.refused(&view, &Key::new("ns", "web"), NOW, &failure);
    let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
    assert_eq!(object["status"]["collisionCount"], 1);
}

#[test]
fn an_orphan_with_the_template_is_adopted() {
    let mut world = World::new(deployment(1, "v1"));
    world.run(None);
    let mut orphan = world.sets().remove(0);
    orphan["metadata"]["ownerReferences"] = json!([]);
    world.view.put(REPLICA_SET, orphan);
    world.run(None);
    assert_eq!(world.sets().len(), 1);
    assert_eq!(world.sets()[0]["metadata"]["ownerReferences"][0]["uid"], "d");
}
