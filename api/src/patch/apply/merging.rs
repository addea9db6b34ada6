//! Laying an applied object over the live one, and taking fields out again. Behaviour of
//! structured-merge-diff `typed/{merge,remove,validate}.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    compare::{canonical, elements, entries, key_of},
    field_set::{Element, FieldSet},
    topology::{self, Item, Keys, Place, Record},
};

/// Most faults named in one answer.
pub(super) const FAULTS_MAX: usize = 100;

/// `live` with the leaves of `config` in place of its own. The items of keyed lists keep the order
/// of `live`, those that both have take the order of `config`.
pub(super) fn merge(
    place: Place<'_>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Option<Value> {
    let object = |v: Option<&Value>| v.is_none_or(Value::is_object);
    let place = match place {
        Place::Deduced if object(live) && object(config) => Place::Map(Item::Deduced),
        other => other,
    };
    match place {
        Place::Leaf | Place::Deduced => {}
        Place::Keyed(record, keys) => {
            if let Some(list) = merge_items(live, config, Place::Struct(record), |item, at| {
                key_of(item, record, keys).unwrap_or(Element::Index(at as i64))
            }) {
                return Some(list);
            }
        }
        Place::Set => {
            let identify = |item: &Value, _| Element::Value(canonical(item));
            if let Some(list) = merge_items(live, config, Place::Leaf, identify) {
                return Some(list);
            }
        }
        Place::Struct(_) | Place::Map(_) => {
            let (had, has) = (entries(live), entries(config));
            if had.is_some() || has.is_some() {
                let mut out = had.cloned().unwrap_or_default();
                for (name, value) in has.into_iter().flatten() {
                    let inner = topology::below(place, name).place;
                    let merged = merge(inner, had.and_then(|m| m.get(name)), Some(value));
                    out.insert(name.clone(), merged.unwrap_or_default());
                }
                return Some(Value::Object(out));
            }
        }
    }
    config.or(live).cloned()
}

/// `None` when there are no items on either side.
fn merge_items(
    live: Option<&Value>,
    config: Option<&Value>,
    inner: Place<'_>,
    identify: impl Fn(&Value, usize) -> Element,
) -> Option<Value> {
    let (had, has) = (elements(live), elements(config));
    if had.is_none() && has.is_none() {
        return None;
    }
    let index = |list: Option<&'_ [Value]>| -> Vec<Element> {
        let items = list.unwrap_or_default().iter().enumerate();
        items.map(|(at, item)| identify(item, at)).collect()
    };
    let (left, right) = (index(had), index(has));
    let (had, has) = (had.unwrap_or_default(), has.unwrap_or_default());
    let places: BTreeMap<&Element, usize> =
        left.iter().enumerate().rev().map(|(at, e)| (e, at)).collect();
    let wanted: BTreeSet<&Element> = right.iter().collect();
    let mut shared = right.iter().filter(|e| places.contains_key(e)).peekable();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(had.len().max(has.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if let Some(element) = left.get(l) {
            let in_config = wanted.contains(element);
            let next_is_another = shared.peek().is_some_and(|next| *next != element);
            if !in_config {
                out.push(had[l].clone());
                l += 1;
                continue;
            }
            if done.contains(element) || (r < right.len() && next_is_another) {
                // It was written, or will be, where the configuration has it.
                l += 1;
                continue;
            }
            if right.get(r) == Some(element) {
                l += 1;
            }
        }
        if let Some(element) = right.get(r) {
            let twin = places.get(element).map(|at| &had[*at]);
            out.push(merge(inner, twin, Some(&has[r])).unwrap_or_default());
            done.insert(element);
            if shared.peek() == Some(&element) {
                shared.next();
            }
            r += 1;
        }
    }
    Some(Value::Array(out))
}

/// `value` without the fields and items that are members of `set`. What is left empty becomes null.
pub(super) fn remove(place: Place<'_>, value: &Value, set: &FieldSet) -> Value {
    let place = match (place, value) {
        (Place::Deduced, Value::Object(_)) => Place::Map(Item::Deduced),
        (other, _) => other,
    };
    match (place, value) {
        (Place::Struct(_) | Place::Map(_), Value::Object(map)) => {
            let mut out = Map::new();
            for (name, value) in map {
                let inner = topology::below(place, name).place;
                match set.field(name) {
                    Some(below) if below.member => {}
                    Some(below) => {
                        out.insert(name.clone(), remove(inner, value, below));
                    }
                    None => {
                        out.insert(name.clone(), value.clone());
                    }
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Place::Keyed(record, keys), Value::Array(items)) => {
            remaining(items, set, |item| key_of(item, record, keys), Place::Struct(record))
        }
        (Place::Set, Value::Array(items)) => {
            remaining(items, set, |item| Some(Element::Value(canonical(item))), Place::Leaf)
        }
        // An atomic struct or list something of which is removed is gone; a scalar stays.
        (Place::Leaf, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, value) => value.clone(),
    }
}

fn remaining(
    items: &[Value],
    set: &FieldSet,
    identify: impl Fn(&Value) -> Option<Element>,
    inner: Place<'_>,
) -> Value {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        match identify(item).and_then(|element| set.child(&element)) {
            Some(below) if below.member => {}
            Some(below) => out.push(remove(inner, item, below)),
            None => out.push(item.clone()),
        }
    }
    if out.is_empty() { Value::Null } else { Value::Array(out) }
}

/// What makes a configuration one that cannot be applied: undeclared fields, list items without or
/// with the same key. Texts such as `.spec.foo: field not declared in schema`.
pub(super) fn faults(place: Place<'_>, config: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(place, config, &mut String::new(), &mut out);
    out.truncate(FAULTS_MAX);
    out
}

fn check(place: Place<'_>, value: &Value, path: &mut String, out: &mut Vec<String>) {
    if out.len() >= FAULTS_MAX {
        return;
    }
    let length = path.len();
    match (place, value) {
        (Place::Struct(record), Value::Object(map)) => {
            for (name, value) in map {
                path.push('.');
                path.push_str(name);
                match topology::slot_of(record, name) {
                    Some(slot) => check(slot.place, value, path, out),
                    None => out.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(length);
            }
        }
        (Place::Map(item), Value::Object(map)) => {
            for (name, value) in map {
                path.push('.');
                path.push_str(name);
                check(item.place(), value, path, out);
                path.truncate(length);
            }
        }
        (Place::Keyed(record, keys), Value::Array(items)) => {
            let identify = |item: &Value| key_of(item, record, keys);
            for (element, item) in identities(items, Some((record, keys)), identify, path, out) {
                element.show(path);
                check(Place::Struct(record), item, path, out);
                path.truncate(length);
            }
        }
        (Place::Set, Value::Array(items)) => {
            let identify = |item: &Value| Some(Element::Value(canonical(item)));
            identities(items, None, identify, path, out);
        }
        _ => {}
    }
}

fn identities<'v>(
    items: &'v [Value],
    keys: Option<(Record<'_>, Keys<'_>)>,
    identify: impl Fn(&Value) -> Option<Element>,
    path: &str,
    out: &mut Vec<String>,
) -> Vec<(Element, &'v Value)> {
    let names = keys.map(|(_, keys)| keys.names()).unwrap_or_default();
    let mut found: BTreeSet<Element> = BTreeSet::new();
    let mut list = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let missing = names.iter().find(|key| {
            let has_default =
                keys.is_some_and(|(record, _)| topology::key_default(record, key).is_some());
            item.get(**key).is_none() && !has_default
        });
        match (missing, identify(item)) {
            (None, Some(element)) => {
                if found.insert(element.clone()) {
                    list.push((element, item));
                } else {
                    let mut key = String::new();
                    element.show(&mut key);
                    out.push(format!("{path}: duplicate entries for key {key}"));
                }
            }
            (missing, _) => {
                let key = missing.or(names.first()).copied().unwrap_or_default();
                out.push(format!(
                    "{path}: element {at}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                ));
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::POD;

    fn root() -> Place<'static> {
        topology::root(POD, None)
    }

    fn names(list: &[&str]) -> Value {
        let items: Vec<_> = list.iter().map(|n| json!({"name": n})).collect();
        json!({"spec": {"containers": items}})
    }

    #[test]
    fn items_keep_the_live_order_and_shared_ones_take_the_configured() {
        for (live, config, want) in [
            (&["a", "b"][..], &["b"][..], &["a", "b"][..]),
            (&["a"], &["b", "a"], &["b", "a"]),
            (&["a"], &["a", "b"], &["a", "b"]),
            (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
            (&["x", "a", "y"], &["n", "a", "m"], &["x", "n", "a", "y", "m"]),
            (&[], &["b", "a"], &["b", "a"]),
            (&["a"], &[], &["a"]),
        ] {
            let merged = merge(root(), Some(&names(live)), Some(&names(config))).unwrap();
            assert_eq!(merged, names(want), "{live:?} {config:?}");
        }
    }

    #[test]
    fn leaves_come_from_the_configuration_and_atomic_lists_whole() {
        let live = json!({"spec": {"nodeName": "n", "tolerations": [{"key": "a"}],
            "containers": [{"name": "a", "image": "i:1", "args": ["x", "y"], "tty": true}]}});
        let config = json!({"spec": {"tolerations": [{"key": "b"}],
            "containers": [{"name": "a", "image": "i:2", "args": ["z"]}]}});
        let want = json!({"spec": {"nodeName": "n", "tolerations": [{"key": "b"}],
            "containers": [{"name": "a", "image": "i:2", "args": ["z"], "tty": true}]}});
        assert_eq!(merge(root(), Some(&live), Some(&config)), Some(want));
    }

    #[test]
    fn what_cannot_be_applied_is_named() {
        let config = json!({"spec": {"foo": 1, "containers": [{"name": "a", "bar": 1},
            {"name": "a"}, {"image": "i"}]}, "metadata": {"labels": {"any": "x"}}});
        assert_eq!(
            faults(root(), &config),
            [
                ".spec.containers: duplicate entries for key [name=\"a\"]",
                ".spec.containers: element 2: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)",
                ".spec.containers[name=\"a\"].bar: field not declared in schema",
                ".spec.foo: field not declared in schema",
            ]
        );
    }
}
