//! ReplicaSets, Deployments and the scheduler.

use std::collections::{BTreeMap, BTreeSet};

use kabuki_api::kind::{DEPLOYMENT, POD, REPLICA_SET};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    Scenario, World,
    checks::{bound_once_and_fitting, is_active, is_terminal, manager, never_too_many},
    history::History,
    storm,
};
use crate::registry::{DeleteOptions, Subresource};

fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}},
        "spec": {"terminationGracePeriodSeconds": 2,
            "containers": [{"name": "c", "image": image}]}})
}

fn replica_set(name: &str, replicas: i64) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}}, "template": template(name, "v1")}})
}

/// Running pods of a label that are neither ended nor being deleted.
fn active(world: &World, app: &str) -> Vec<Value> {
    let pods = world.objects(POD, Some("default"));
    let mine = pods.iter().map(|p| p.value().clone());
    mine.filter(|p| p["metadata"]["labels"]["app"] == app && is_active(p)).collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, is: T, wanted: T) -> Result<(), String> {
    if is == wanted { Ok(()) } else { Err(format!("{what}: {is:?}, not {wanted:?}")) }
}

/// ReplicaSets of constant and of changing size, whose pods are deleted by others.
#[derive(Default)]
struct ReplicaSets {
    size: i64,
    /// Pods that users deleted.
    deleted: BTreeSet<String>,
}

impl Scenario for ReplicaSets {
    async fn begin(&mut self, world: &World) {
        self.size = 3;
        for (name, replicas) in [("five", 5), ("one", 1), ("twelve", 12), ("varied", self.size)] {
            world.create(REPLICA_SET, "default", replica_set(name, replicas)).await;
        }
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        if rng.random_bool(0.3) {
            self.size = rng.random_range(0..8);
            let size = self.size;
            let scale = |v: &mut Value| v["spec"]["replicas"] = size.into();
            world.change(REPLICA_SET, "default", "varied", Subresource::Main, scale).await;
            return;
        }
        let pods = world.objects(POD, Some("default"));
        if let Some(pod) = pods.get(rng.random_range(0..pods.len().max(1))) {
            self.deleted.insert(pod.uid().to_owned());
            let now = rng.random_bool(0.3).then_some(0);
            let options = DeleteOptions { grace_period_seconds: now, ..DeleteOptions::default() };
            world.delete(pod, options).await;
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        for (name, wanted) in [("five", 5), ("one", 1), ("twelve", 12), ("varied", self.size)] {
            let set = world.object(REPLICA_SET, "default", name).ok_or("no set")?;
            let running = i64::try_from(active(world, name).len()).unwrap_or(0);
            expect(name, running, wanted)?;
            let status = &set.value()["status"];
            for field in ["replicas", "readyReplicas", "availableReplicas"] {
                expect(&format!("{name} {field}"), status[field].as_i64().unwrap_or(0), wanted)?;
            }
            expect(name, &status["observedGeneration"], &set.value()["metadata"]["generation"])?;
        }
        expect("pods", world.objects(POD, None).len(), usize::try_from(18 + self.size).unwrap_or(0))
    }

    fn check(&self, _world: &World, history: &History) -> Result<(), String> {
        never_too_many(history)?;
        bound_once_and_fitting(history)?;
        // One pod for every one asked for and every one that was taken away: no more were made, and
        // none was deleted but by users.
        for (name, size) in [("five", 5), ("one", 1), ("twelve", 12)] {
            let all = history.all(POD);
            let mine: Vec<_> =
                all.iter().filter(|(_, p)| p["metadata"]["labels"]["app"] == name).collect();
            let taken = mine.iter().filter(|(uid, _)| self.deleted.contains(**uid)).count();
            expect(&format!("pods made for {name}"), mine.len(), size + taken)?;
        }
        Ok(())
    }
}

#[test]
fn replica_sets_make_each_pod_once() {
    storm(ReplicaSets::default);
}

#[test]
fn pods_made_twice_would_be_noticed() {
    assert!(super::notices_doubts_forgotten(ReplicaSets::default));
}

/// A Deployment that rolls and one that recreates, with new versions and sizes.
#[derive(Default)]
struct Deployments {
    size: i64,
    most: i64,
    version: u32,
}

const SURGE: i64 = 2;

impl Deployments {
    fn image(&self) -> String {
        format!("v{}", self.version)
    }
}

impl Scenario for Deployments {
    async fn begin(&mut self, world: &World) {
        (self.size, self.most) = (6, 6);
        let rolling = json!({"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": 1}});
        for (name, strategy) in [("web", rolling), ("solo", json!({"type": "Recreate"}))] {
            let spec = json!({"replicas": self.size, "strategy": strategy,
                "selector": {"matchLabels": {"app": name}},
                "template": template(name, &self.image())});
            let object = json!({"metadata": {"name": name}, "spec": spec});
            world.create(DEPLOYMENT, "default", object).await;
        }
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        let (grow, roll) = (rng.random_bool(0.15), rng.random_bool(0.15));
        if grow {
            self.size = rng.random_range(1..9);
            self.most = self.most.max(self.size);
        } else if roll {
            self.version += 1;
        } else {
            return;
        }
        let (size, image) = (self.size, self.image());
        for name in ["web", "solo"] {
            let change = |v: &mut Value| {
                v["spec"]["replicas"] = size.into();
                v["spec"]["template"]["spec"]["containers"][0]["image"] = image.as_str().into();
            };
            world.change(DEPLOYMENT, "default", name, Subresource::Main, change).await;
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        for name in ["web", "solo"] {
            let deployment = world.object(DEPLOYMENT, "default", name).ok_or("no deployment")?;
            let (meta, status) = (&deployment.value()["metadata"], &deployment.value()["status"]);
            expect(name, &status["observedGeneration"], &meta["generation"])?;
            for field in ["replicas", "updatedReplicas", "availableReplicas"] {
                expect(&format!("{name} {field}"), status[field].as_i64().unwrap_or(0), self.size)?;
            }
            let pods = active(world, name);
            expect(name, i64::try_from(pods.len()).unwrap_or(0), self.size)?;
            for pod in pods {
                expect(name, &pod["spec"]["containers"][0]["image"], &self.image().into())?;
            }
        }
        let pods = world.objects(POD, None).len();
        expect("pods", pods, usize::try_from(2 * self.size).unwrap_or(0))
    }

    fn check(&self, _world: &World, history: &History) -> Result<(), String> {
        never_too_many(history)?;
        let sets = history.all(REPLICA_SET);
        // A template gets one ReplicaSet; those beyond the limit of history may be gone.
        let mut templates: BTreeMap<String, usize> = BTreeMap::new();
        for set in sets.values() {
            let containers = &set["spec"]["template"]["spec"]["containers"][0]["image"];
            let app = &set["metadata"]["labels"]["app"];
            *templates.entry(format!("{app} {containers}")).or_default() += 1;
        }
        if let Some((name, _)) = templates.iter().find(|(_, n)| **n > 1) {
            return Err(format!("{name} has several ReplicaSets"));
        }
        // What is asked for, as upstream counts it: pods of an old version that are on their way out
        // come on top.
        history.replay(&[REPLICA_SET], |moment, there| {
            let mine = there.values().filter(|s| s["metadata"]["labels"]["app"] == "web");
            let asked: i64 = mine.filter_map(|s| s["spec"]["replicas"].as_i64()).sum();
            if asked > self.most + SURGE {
                return Err(format!("{asked} pods asked for, {} the last", moment.name()));
            }
            Ok(())
        })?;
        history.replay(&[POD], |moment, there| {
            let pods = |app: &str| {
                let mine = there.values().filter(|p| p["metadata"]["labels"]["app"] == app);
                mine.filter(|p| !is_terminal(p)).copied().collect::<Vec<_>>()
            };
            let solo = pods("solo");
            let versions: BTreeSet<_> = solo.iter().filter_map(|p| manager(p)).collect();
            if versions.len() > 1 {
                return Err(format!("pods of two versions of solo, {} the last", moment.name()));
            }
            Ok(())
        })
    }
}

#[test]
fn deployments_keep_their_bounds() {
    storm(Deployments::default);
}

/// More pods than fit, which come and go.
#[derive(Default)]
struct Crowd {
    made: u32,
}

/// Pods of half a core on a node of four.
const FIT: usize = 3 * 8;

impl Crowd {
    async fn add(&mut self, world: &World) {
        self.made += 1;
        let pod = json!({"metadata": {"name": format!("p{}", self.made), "labels": {"app": "p"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "i",
                "resources": {"requests": {"cpu": "500m"}}}]}});
        world.create(POD, "default", pod).await;
    }
}

impl Scenario for Crowd {
    async fn begin(&mut self, world: &World) {
        for _ in 0..40 {
            self.add(world).await;
        }
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        for _ in 0..rng.random_range(0..4) {
            let mut pods = world.objects(POD, Some("default"));
            pods.retain(|pod| !pod.is_deleting());
            if let Some(pod) = pods.get(rng.random_range(0..pods.len().max(1))) {
                world.delete(pod, DeleteOptions::default()).await;
                self.add(world).await;
            }
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        let pods = world.objects(POD, Some("default"));
        let (bound, free): (Vec<_>, Vec<_>) =
            pods.iter().partition(|p| p.value()["spec"]["nodeName"].is_string());
        expect("pods", pods.len(), 40)?;
        expect("bound", bound.len(), FIT)?;
        for pod in free {
            let conditions = pod.value()["status"]["conditions"].as_array().cloned();
            let told =
                conditions.unwrap_or_default().iter().any(|c| c["reason"] == "Unschedulable");
            expect(pod.name(), told, true)?;
        }
        Ok(())
    }

    fn check(&self, _world: &World, history: &History) -> Result<(), String> {
        bound_once_and_fitting(history)
    }
}

#[test]
fn the_scheduler_binds_once_and_never_too_much() {
    storm(Crowd::default);
}
