//! What becomes of one object.

use kabuki_api::kind::{self, EVENT, Kind};
use serde_json::Value;

use super::graph::{FOREGROUND, Graph, Item, ORPHAN};
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Note, ObjectRef, Plan, ReconcileError},
        model::{OwnerReference, Time},
    },
    registry::{DeleteOptions, Object, Propagation, View},
};

/// The controller.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GarbageCollector {
    graph: Graph,
}

/// What an owner reference points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// It is there and stays.
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is gone, or another object has its name now.
    Absent,
    /// It cannot be: a namespaced owner of a cluster-scoped object.
    Invalid,
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        // Events own nothing and nobody owns them, and there are many.
        let stored = kind::all().iter().copied().filter(|k| k.is_stored());
        stored.filter(|k| *k == k.storage_kind() && *k != EVENT).collect()
    }

    fn custom(&self, view: &dyn View) -> Vec<&'static Kind> {
        view.definitions().stored().collect()
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        self.graph.observe(change, out);
    }

    fn forget(&mut self, kind: &'static Kind) {
        self.graph.forget(kind.topic());
    }

    fn resync(&mut self, _view: &dyn View, out: &mut Vec<Key>) {
        // What was lost may be the removal of any owner or dependent.
        out.extend(self.graph.keys());
    }

    fn subject(&self, view: &dyn View, key: &Key) -> Option<ObjectRef> {
        by_key(view, key).map(|object| ObjectRef::to(&object))
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let Some(object) = by_key(view, key) else { return Ok(Plan::done()) };
        let meta = object.peek_all_metadata();
        let meta = Value::Object(meta);
        let deleting = meta["deletionTimestamp"].is_string();
        let has = |name: &str| {
            meta["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == name))
        };
        if deleting && has(ORPHAN) {
            return Ok(self.leave_dependents(view, &object));
        }
        let waits = deleting && has(FOREGROUND);
        if waits {
            return Ok(self.await_dependents(view, &object));
        }
        let owners: Vec<OwnerReference> =
            serde_json::from_value(meta["ownerReferences"].clone()).unwrap_or_default();
        if deleting || owners.is_empty() {
            return Ok(Plan::done());
        }
        Ok(self.judge(view, &object, &owners, &has))
    }
}

impl GarbageCollector {
    /// An object with owners: keep it, loosen it, or delete it.
    fn judge(
        &self,
        view: &dyn View,
        object: &Object,
        owners: &[OwnerReference],
        has: &dyn Fn(&str) -> bool,
    ) -> Plan {
        let judged: Vec<Owner> = owners.iter().map(|owner| find(view, object, owner)).collect();
        let any = |what: Owner| judged.contains(&what);
        if any(Owner::Invalid) {
            let text = "ownerRef of a cluster-scoped object names a namespaced owner; such an owner \
                can not be resolved";
            let note = Note::warning(ObjectRef::to(object), "OwnerRefInvalidNamespace", text);
            return Plan::one(Command::Record(note));
        }
        if any(Owner::Solid) {
            if !any(Owner::Absent) && !any(Owner::Waiting) {
                return Plan::done();
            }
            let kept = owners.iter().zip(&judged).filter(|(_, is)| **is == Owner::Solid);
            let uids: Vec<&str> = kept.map(|(owner, _)| owner.uid.as_str()).collect();
            return Plan::one(keep_owners(object, |uid| uids.contains(&uid)));
        }
        let uid = object.uid();
        if any(Owner::Waiting) && self.graph.dependents(uid).next().is_some() {
            // In a circle everybody would wait for everybody.
            if self.graph.dependents(uid).any(|(_, item)| item.waits()) {
                return Plan {
                    stages: vec![vec![unblock(object)]],
                    requeue: Some(std::time::Duration::from_millis(10)),
                };
            }
            return Plan::one(delete(object, Propagation::Foreground));
        }
        let policy = if has(ORPHAN) {
            Propagation::Orphan
        } else if has(FOREGROUND) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        Plan::one(delete(object, policy))
    }

    /// An object in foreground deletion: its dependents go first.
    fn await_dependents(&self, view: &dyn View, object: &Object) -> Plan {
        let uid = object.uid();
        let blocking: Vec<&Item> = self
            .graph
            .dependents(uid)
            .map(|(_, item)| item)
            .filter(|item| item.blocks(uid))
            .collect();
        if blocking.is_empty() {
            return Plan::one(drop_finalizer(object, FOREGROUND));
        }
        // They are judged by their own keys; here only those whose turn may have been lost are
        // helped along.
        let waiting = blocking.iter().filter(|item| !item.deleting);
        let idle: Vec<Command> = waiting
            .filter_map(|item| {
                let dependent = by_key(view, &item.key)?;
                let owners: Vec<OwnerReference> =
                    serde_json::from_value(dependent.peek_metadata("ownerReferences")).ok()?;
                let has = |_: &str| false;
                self.judge(view, &dependent, &owners, &has).stages.into_iter().flatten().next()
            })
            .collect();
        let mut plan = Plan::done();
        plan.then_all(idle);
        plan
    }

    /// An object that is deleted with policy Orphan: loosen its dependents, then let it go.
    fn leave_dependents(&self, view: &dyn View, object: &Object) -> Plan {
        let uid = object.uid();
        // Not from the graph: a dependent it has not heard of yet would lose its owner and be
        // collected. Deletes of this kind are rare.
        let namespace = object.kind().namespaced.then(|| object.namespace());
        let loosened: Vec<Command> = self
            .watches()
            .into_iter()
            .chain(view.definitions().stored())
            .filter(|kind| kind.namespaced || namespace.is_none())
            .flat_map(|kind| view.list(kind, namespace))
            .filter(|other| {
                let owners = other.peek_metadata("ownerReferences");
                owners.as_array().is_some_and(|all| all.iter().any(|o| o["uid"] == uid))
            })
            .map(|dependent| keep_owners(&dependent, |owner| owner != uid))
            .collect();
        let mut plan = Plan::done();
        plan.then_all(loosened);
        plan.then(drop_finalizer(object, ORPHAN));
        plan
    }
}

fn by_key(view: &dyn View, key: &Key) -> Option<std::sync::Arc<Object>> {
    let built_in = kind::all().iter().copied().find(|k| k.is_stored() && k.topic() == key.topic);
    let custom = || view.definitions().stored().find(|k| k.topic() == key.topic);
    let kind = built_in.or_else(custom)?;
    view.get(kind, &key.namespace, &key.name)
}

fn find(view: &dyn View, object: &Object, owner: &OwnerReference) -> Owner {
    // An owner of a kind that is not served cannot be judged; deleting on a guess is worse than
    // keeping.
    let custom = || view.definitions().by_kind(&owner.api_version, &owner.kind);
    let Some(kind) = kind::by_kind(&owner.api_version, &owner.kind).or_else(custom) else {
        return Owner::Solid;
    };
    if !kind.is_stored() {
        return Owner::Solid;
    }
    if kind.namespaced && !object.kind().namespaced {
        return Owner::Invalid;
    }
    let Some(found) = view.get(kind, object.namespace(), &owner.name) else { return Owner::Absent };
    let meta = Value::Object(found.peek_all_metadata());
    if meta["uid"] != owner.uid.as_str() {
        return Owner::Absent;
    }
    let waits = meta["finalizers"].as_array().is_some_and(|l| l.iter().any(|f| f == FOREGROUND));
    if waits && meta["deletionTimestamp"].is_string() { Owner::Waiting } else { Owner::Solid }
}

fn delete(object: &Object, propagation: Propagation) -> Command {
    let options = DeleteOptions {
        uid: Some(object.uid().to_owned()),
        propagation: Some(propagation),
        // The decision holds for this version only: an owner may have been added since.
        resource_version: Some(object.revision().to_string()),
        ..DeleteOptions::default()
    };
    Command::delete_with(object, options)
}

fn keep_owners(object: &Object, keep: impl Fn(&str) -> bool) -> Command {
    let mut value = object.value().clone();
    if let Some(list) = value["metadata"]["ownerReferences"].as_array_mut() {
        list.retain(|owner| keep(owner["uid"].as_str().unwrap_or_default()));
    }
    Command::update(object, value)
}

fn unblock(object: &Object) -> Command {
    let mut value = object.value().clone();
    for owner in value["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner["blockOwnerDeletion"] = false.into();
    }
    Command::update(object, value)
}

fn drop_finalizer(object: &Object, name: &str) -> Command {
    let mut value = object.value().clone();
    if let Some(list) = value["metadata"]["finalizers"].as_array_mut() {
        list.retain(|finalizer| finalizer != name);
    }
    Command::update(object, value)
}
