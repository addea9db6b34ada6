//! Who owns whom, by uid.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::controllers::{
    framework::{Change, Key},
    model::OwnerReference,
};

/// Finalizer of an object that waits for its dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object that leaves its dependents behind.
pub(super) const ORPHAN: &str = "orphan";

/// What the graph remembers of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub key: Key,
    pub owners: Vec<OwnerReference>,
    pub deleting: bool,
    pub foreground: bool,
    pub orphan: bool,
}

impl Item {
    /// Whether it is being deleted and waits for its dependents.
    pub fn waits(&self) -> bool {
        self.deleting && self.foreground
    }

    /// Whether one of its owners (by uid) must wait for it.
    pub fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| o.uid == owner && o.block_owner_deletion)
    }

    fn matters(&self) -> bool {
        !self.owners.is_empty() || (self.deleting && (self.foreground || self.orphan))
    }
}

/// Items that own or are owned. Objects without either are not remembered, so that the graph stays
/// small.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Graph {
    items: HashMap<String, Item>,
    dependents: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Takes a change and says which keys it concerns.
    pub fn observe(&mut self, change: &Change, out: &mut Vec<Key>) {
        let meta = change.object.peek_all_metadata();
        let uid = meta.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        if change.gone {
            return self.vanish(&uid, out);
        }
        let item = read(change, &Value::Object(meta));
        let known = self.items.get(&uid);
        if known == Some(&item) {
            return;
        }
        let began_to_wait = item.waits() && !known.is_some_and(Item::waits);
        self.unlink(&uid);
        if !item.matters() {
            self.items.remove(&uid);
            return;
        }
        for owner in &item.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        out.push(item.key.clone());
        self.items.insert(uid.clone(), item);
        if began_to_wait {
            out.extend(self.dependents(&uid).map(|(_, item)| item.key.clone()));
        }
    }

    /// Direct dependents of an object.
    pub fn dependents<'a>(&'a self, uid: &str) -> impl Iterator<Item = (&'a str, &'a Item)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| self.items.get(uid).map(|item| (uid.as_str(), item)))
    }

    /// Everything that is remembered.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.items.values().map(|item| item.key.clone())
    }

    /// Forgets all objects of a kind, by its topic.
    pub fn forget(&mut self, topic: &str) {
        let gone: Vec<String> = self
            .items
            .iter()
            .filter(|(_, item)| item.key.topic == topic)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            self.unlink(&uid);
            self.items.remove(&uid);
        }
    }

    fn vanish(&mut self, uid: &str, out: &mut Vec<Key>) {
        out.extend(self.dependents(uid).map(|(_, item)| item.key.clone()));
        let owners: Vec<String> = self
            .items
            .get(uid)
            .into_iter()
            .flat_map(|i| &i.owners)
            .map(|o| o.uid.clone())
            .collect();
        out.extend(owners.iter().filter_map(|o| self.items.get(o)).map(|item| item.key.clone()));
        self.unlink(uid);
        self.items.remove(uid);
    }

    fn unlink(&mut self, uid: &str) {
        let Some(item) = self.items.get(uid) else { return };
        for owner in &item.owners {
            if let Some(set) = self.dependents.get_mut(&owner.uid) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
}

fn read(change: &Change, meta: &Value) -> Item {
    let finalizer = |name: &str| {
        meta["finalizers"].as_array().is_some_and(|list| list.iter().any(|f| f == name))
    };
    Item {
        key: Key { topic: change.kind().topic(), ..Key::of(&change.object) },
        owners: serde_json::from_value(meta["ownerReferences"].clone()).unwrap_or_default(),
        deleting: meta["deletionTimestamp"].is_string(),
        foreground: finalizer(FOREGROUND),
        orphan: finalizer(ORPHAN),
    }
}
