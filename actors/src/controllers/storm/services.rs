//! Endpoints, slices and the garbage collector.

use std::collections::BTreeSet;

use kabuki_api::kind::{CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, POD, REPLICA_SET, SERVICE};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{Scenario, World, checks::is_active, history::History, storm};
use crate::registry::{DeleteOptions, Object, Propagation, Subresource};

/// Services over pods that come and go.
#[derive(Default)]
struct Services {
    size: i64,
    /// Services that are meant to exist, with the label they select.
    wanted: BTreeSet<(String, String)>,
    made: u32,
}

impl Services {
    async fn add(&mut self, world: &World, app: &str) {
        self.made += 1;
        let name = format!("s{}", self.made);
        let service = json!({"metadata": {"name": name}, "spec": {"selector": {"app": app},
            "ports": [{"port": 80, "targetPort": 8080}]}});
        world.create(SERVICE, "default", service).await;
        self.wanted.insert((name, app.to_owned()));
    }
}

/// Addresses of running pods.
fn addresses(world: &World, app: &str) -> Vec<String> {
    let pods = world.objects(POD, Some("default"));
    let mine = pods.iter().filter(|p| p.labels()["app"] == app && is_active(p.value()));
    let mut found: Vec<_> =
        mine.map(|p| p.value()["status"]["podIP"].as_str().unwrap_or("none").to_owned()).collect();
    found.sort();
    found
}

fn service_of(slice: &Object) -> &str {
    slice.labels()["kubernetes.io/service-name"].as_str().unwrap_or_default()
}

fn listed(objects: &[&Value], list: &str, address: impl Fn(&Value) -> &Value) -> Vec<String> {
    let lists = objects.iter().flat_map(|o| o[list].as_array().cloned().unwrap_or_default());
    let mut found: Vec<_> =
        lists.map(|e| address(&e).as_str().unwrap_or_default().to_owned()).collect();
    found.sort();
    found
}

impl Scenario for Services {
    async fn begin(&mut self, world: &World) {
        self.size = 4;
        for app in ["a", "b"] {
            let set = json!({"metadata": {"name": app}, "spec": {"replicas": self.size,
                "selector": {"matchLabels": {"app": app}},
                "template": {"metadata": {"labels": {"app": app}},
                    "spec": {"terminationGracePeriodSeconds": 1,
                        "containers": [{"name": "c", "image": "i"}]}}}});
            world.create(REPLICA_SET, "default", set).await;
            self.add(world, app).await;
        }
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        match rng.random_range(0..5) {
            0 => self.add(world, ["a", "b"][rng.random_range(0..2)]).await,
            1 => {
                let Some(first) = self.wanted.pop_first() else { return };
                if let Some(service) = world.object(SERVICE, "default", &first.0) {
                    world.delete(&service, DeleteOptions::background()).await;
                }
            }
            2 => {
                let Some((name, _)) = self.wanted.pop_last() else { return };
                let select = |v: &mut Value| v["spec"]["selector"]["app"] = "b".into();
                world.change(SERVICE, "default", &name, Subresource::Main, select).await;
                self.wanted.insert((name, "b".into()));
            }
            3 => {
                self.size = rng.random_range(0..7);
                let size = self.size;
                for app in ["a", "b"] {
                    let scale = |v: &mut Value| v["spec"]["replicas"] = size.into();
                    world.change(REPLICA_SET, "default", app, Subresource::Main, scale).await;
                }
            }
            _ => {
                let pods = world.objects(POD, Some("default"));
                if let Some(pod) = pods.get(rng.random_range(0..pods.len().max(1))) {
                    world.delete(pod, DeleteOptions::default()).await;
                }
            }
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        let slices = world.objects(ENDPOINT_SLICE, Some("default"));
        let endpoints = world.objects(ENDPOINTS, Some("default"));
        for (name, app) in &self.wanted {
            let wanted = addresses(world, app);
            if wanted.len() != usize::try_from(self.size).unwrap_or(0) {
                return Err(format!("{app} has {wanted:?}"));
            }
            let mine: Vec<_> = slices
                .iter()
                .filter(|s| s.labels()["kubernetes.io/service-name"] == name.as_str())
                .map(|s| s.value())
                .collect();
            let sliced = listed(&mine, "endpoints", |e| &e["addresses"][0]);
            let legacy = endpoints.iter().find(|e| e.name() == name).ok_or("no Endpoints")?;
            let subsets = listed(&[&legacy.value()["subsets"][0]], "addresses", |a| &a["ip"]);
            if sliced != wanted || subsets != wanted || mine.len() != 1 {
                let count = mine.len();
                return Err(format!("{name}: {wanted:?}, {count} slices {sliced:?}, {subsets:?}"));
            }
        }
        let known: BTreeSet<&str> = self.wanted.iter().map(|(name, _)| name.as_str()).collect();
        let left = |objects: &[std::sync::Arc<Object>], name: fn(&Object) -> &str| {
            let names: Vec<_> = objects.iter().map(|o| name(o).to_owned()).collect();
            let mut strange = names.into_iter().filter(|n| n.starts_with('s'));
            strange.find(|n| !known.contains(n.as_str()))
        };
        match left(&endpoints, Object::name).or(left(&slices, service_of)) {
            Some(name) => Err(format!("endpoints of {name} are left")),
            None => Ok(()),
        }
    }

    fn check(&self, _world: &World, _history: &History) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn services_lead_to_the_pods_there_are() {
    storm(Services::default);
}

/// Owners with dependents, deleted in all three ways.
#[derive(Default)]
struct Families {
    made: u32,
    /// Names of objects that must be gone, and of those that must stay.
    gone: BTreeSet<String>,
    stay: BTreeSet<String>,
}

impl Families {
    /// An owner, two dependents and a dependent of the first of them.
    async fn add(&mut self, world: &World) -> [String; 4] {
        self.made += 1;
        let name = |role: &str| format!("{role}{}", self.made);
        let [owner, child, other, grandchild] =
            [name("owner"), name("child"), name("other"), name("grandchild")];
        map(world, &owner, None).await;
        map(world, &child, Some(&owner)).await;
        map(world, &other, Some(&owner)).await;
        map(world, &grandchild, Some(&child)).await;
        [owner, child, other, grandchild]
    }
}

async fn map(world: &World, name: &str, owner: Option<&str>) {
    let mut object = json!({"metadata": {"name": name}});
    if let Some(owner) = owner.and_then(|owner| world.object(CONFIG_MAP, "default", owner)) {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap",
            "name": owner.name(), "uid": owner.uid(), "blockOwnerDeletion": true}]);
    }
    world.create(CONFIG_MAP, "default", object).await;
}

impl Scenario for Families {
    async fn begin(&mut self, world: &World) {
        let names = self.add(world).await;
        self.stay.extend(names);
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        let [owner, child, other, grandchild] = self.add(world).await;
        let how = rng.random_range(0..4);
        let propagation =
            [Propagation::Background, Propagation::Foreground, Propagation::Orphan][how.min(2)];
        if how == 3 {
            self.stay.extend([owner, child, other, grandchild]);
            return;
        }
        if let Some(object) = world.object(CONFIG_MAP, "default", &owner) {
            let propagation = Some(propagation);
            let options = DeleteOptions { propagation, ..DeleteOptions::default() };
            world.delete(&object, options).await;
        }
        let rest = [child, other, grandchild];
        if propagation == Propagation::Orphan {
            self.stay.extend(rest);
        } else {
            self.gone.extend(rest);
        }
        self.gone.insert(owner);
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        for name in &self.stay {
            let object = world.object(CONFIG_MAP, "default", name);
            let object = object.ok_or_else(|| format!("{name} was collected"))?;
            for owner in object.metadata()["ownerReferences"].as_array().into_iter().flatten() {
                let owner = owner["name"].as_str().unwrap_or_default();
                if self.gone.contains(owner) {
                    return Err(format!("{name} still names {owner}"));
                }
            }
        }
        match self.gone.iter().find(|n| world.object(CONFIG_MAP, "default", n).is_some()) {
            Some(name) => Err(format!("{name} is left")),
            None => Ok(()),
        }
    }

    /// In foreground deletion an owner goes after its dependents.
    fn check(&self, _world: &World, history: &History) -> Result<(), String> {
        history.replay(&[CONFIG_MAP], |moment, there| {
            let waits = moment.value["metadata"]["finalizers"].as_array();
            let foreground = waits.is_some_and(|f| f.iter().any(|f| f == "foregroundDeletion"));
            if !moment.gone || !foreground {
                return Ok(());
            }
            let mut left = there.values().filter(|v| {
                let owners = v["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|all| all.iter().any(|o| o["uid"] == moment.uid()))
            });
            match left.next() {
                Some(v) => Err(format!("{} before {}", moment.name(), v["metadata"]["name"])),
                None => Ok(()),
            }
        })
    }
}

#[test]
fn the_garbage_collector_takes_what_it_must_and_no_more() {
    storm(Families::default);
}
