//! Decisions of the garbage collector on small families.

use kabuki_api::kind::{CLUSTER_ROLE, CONFIG_MAP, DEPLOYMENT, Kind, POD, REPLICA_SET};
use serde_json::{Value, json};

use super::*;
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan},
        model::Time,
    },
    registry::{MemView, Object, Propagation},
};

/// A cluster that does what it is told.
#[derive(Default)]
struct World {
    view: MemView,
    gc: GarbageCollector,
    due: Vec<Key>,
    log: Vec<String>,
}

fn object(name: &str, owners: &[(&'static Kind, &str, bool)]) -> Value {
    let owners: Vec<_> = owners
        .iter()
        .map(|(kind, name, block)| {
            json!({"apiVersion": kind.api_version(), "kind": kind.kind, "name": name,
                "uid": format!("uid-{name}"), "blockOwnerDeletion": block})
        })
        .collect();
    json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"),
        "ownerReferences": owners}})
}

impl World {
    fn put(&mut self, kind: &'static Kind, value: Value) {
        let object = self.view.put(kind, value);
        self.changed(object, false);
    }

    fn changed(&mut self, object: std::sync::Arc<Object>, gone: bool) {
        let change = Change { object, previous: None, gone };
        self.gc.keys(&self.view, &change, &mut self.due);
    }

    fn remove(&mut self, kind: &'static Kind, name: &str) {
        use crate::registry::View;
        let object = self.view.get(kind, "ns", name).unwrap();
        self.view.remove(kind, "ns", name);
        self.changed(object, true);
    }

    fn mark(&mut self, kind: &'static Kind, name: &str, finalizer: &str) {
        use crate::registry::View;
        let mut value = self.view.get(kind, "ns", name).unwrap().value().clone();
        value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        value["metadata"]["finalizers"] = json!([finalizer]);
        self.put(kind, value);
    }

    fn apply(&mut self, plan: &Plan) {
        for command in plan.commands() {
            match command.clone() {
                Command::Delete { kind, name, options, .. } => {
                    self.log.push(format!("delete {name}"));
                    if options.propagation == Some(Propagation::Foreground) {
                        self.mark(kind, &name, "foregroundDeletion");
                    } else {
                        self.remove(kind, &name);
                    }
                }
                Command::Update { kind, name, object, .. } => {
                    let meta = &object["metadata"];
                    let last = meta["finalizers"].as_array().is_none_or(Vec::is_empty);
                    if meta["deletionTimestamp"].is_string() && last {
                        self.log.push(format!("release {name}"));
                        self.remove(kind, &name);
                    } else {
                        self.log.push(format!("update {name}"));
                        self.put(kind, object);
                    }
                }
                Command::Record(note) => self.log.push(note.reason.to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }

    fn run(&mut self) -> Vec<String> {
        for _ in 0..100 {
            let Some(key) = self.due.pop() else { return std::mem::take(&mut self.log) };
            let plan = self.gc.reconcile(&self.view, &key, Time::from_secs(0)).unwrap();
            if plan.requeue.is_some() {
                self.due.insert(0, key);
            }
            self.apply(&plan);
        }
        panic!("never ends: {:?}", self.log);
    }
}

/// deployment <- replicaset <- two pods
fn family() -> World {
    let mut world = World::default();
    world.put(DEPLOYMENT, object("d", &[]));
    world.put(REPLICA_SET, object("rs", &[(DEPLOYMENT, "d", true)]));
    world.put(POD, object("p1", &[(REPLICA_SET, "rs", true)]));
    world.put(POD, object("p2", &[(REPLICA_SET, "rs", true)]));
    assert_eq!(world.run(), Vec::<String>::new());
    world
}

#[test]
fn dependents_follow_their_owner() {
    let mut world = family();
    world.remove(DEPLOYMENT, "d");
    let mut log = world.run();
    assert_eq!(log.remove(0), "delete rs");
    log.sort();
    assert_eq!(log, ["delete p1", "delete p2"]);
    assert_eq!(world.gc, GarbageCollector::default(), "nothing is remembered");
}

#[test]
fn an_owner_in_foreground_deletion_goes_last() {
    let mut world = family();
    world.mark(DEPLOYMENT, "d", "foregroundDeletion");
    let log = world.run();
    assert_eq!(log.first().map(String::as_str), Some("delete rs"));
    assert_eq!(log[log.len() - 2..], ["release rs", "release d"]);
}

#[test]
fn orphans_are_loosened_first() {
    let mut world = family();
    world.mark(DEPLOYMENT, "d", "orphan");
    assert_eq!(world.run(), ["update rs", "release d"]);
    assert_eq!(world.run(), Vec::<String>::new());
}

#[test]
fn a_second_owner_keeps_an_object() {
    let mut world = World::default();
    world.put(CONFIG_MAP, object("a", &[]));
    world.put(CONFIG_MAP, object("b", &[]));
    world.put(CONFIG_MAP, object("c", &[(CONFIG_MAP, "a", true), (CONFIG_MAP, "b", true)]));
    world.run();
    world.remove(CONFIG_MAP, "a");
    assert_eq!(world.run(), ["update c"]);
    world.remove(CONFIG_MAP, "b");
    assert_eq!(world.run(), ["delete c"]);
}

#[test]
fn a_namesake_is_no_owner_and_an_unknown_kind_is_no_reason() {
    let mut world = World::default();
    let mut impostor = object("a", &[]);
    impostor["metadata"]["uid"] = "another".into();
    world.put(CONFIG_MAP, impostor);
    world.put(CONFIG_MAP, object("c", &[(CONFIG_MAP, "a", false)]));
    let mut foreign = object("f", &[(CONFIG_MAP, "a", false)]);
    foreign["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1".into();
    world.put(CONFIG_MAP, foreign);
    assert_eq!(world.run(), ["delete c"]);
}

#[test]
fn a_cluster_scoped_object_with_a_namespaced_owner_is_kept() {
    let mut world = World::default();
    world.put(CLUSTER_ROLE, object("r", &[(CONFIG_MAP, "gone", false)]));
    assert_eq!(world.run(), ["OwnerRefInvalidNamespace"]);
}

#[test]
fn circles_do_not_block() {
    let mut world = World::default();
    world.put(CONFIG_MAP, object("root", &[]));
    world.put(CONFIG_MAP, object("a", &[(CONFIG_MAP, "b", true), (CONFIG_MAP, "root", true)]));
    world.put(CONFIG_MAP, object("b", &[(CONFIG_MAP, "a", true)]));
    world.put(CONFIG_MAP, object("root2", &[]));
    world.run();
    // A circle without its root: a and b own each other and stay, as upstream leaves them.
    world.mark(CONFIG_MAP, "a", "foregroundDeletion");
    let log = world.run();
    assert!(log.contains(&"release a".to_owned()), "{log:?}");
}
