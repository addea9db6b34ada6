//! Uniqueness in lists of `x-kubernetes-list-type` set and map (`schema/listtype/validation.go`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    FAULTS_MAX,
    node::{Additional, ListType, Node},
};
use crate::validate::FieldError;

/// Items that occur twice.
pub(super) fn check(root: &Node, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    walk(root, object, "", &mut out);
    out
}

fn walk(node: &Node, value: &Value, path: &str, out: &mut Vec<FieldError>) {
    if out.len() >= FAULTS_MAX {
        return;
    }
    match value {
        Value::Array(items) => {
            match &node.list_type {
                ListType::Set => set(items, path, out),
                ListType::Map(keys) => keyed(items, keys, path, out),
                _ => {}
            }
            if let Some(inner) = node.items.as_deref().filter(|inner| has_lists(inner)) {
                for (i, item) in items.iter().enumerate() {
                    walk(inner, item, &format!("{path}[{i}]"), out);
                }
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(property) = node.properties.get(name) {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(property, value, &format!("{path}{dot}{name}"), out);
                } else if let Additional::Schema(inner) = &node.additional {
                    walk(inner, value, &format!("{path}[{name}]"), out);
                }
            }
        }
        _ => {}
    }
}

/// Scalars have none: most items need no walk.
fn has_lists(node: &Node) -> bool {
    node.items.is_some()
        || !node.properties.is_empty()
        || matches!(node.additional, Additional::Schema(_))
}

fn set(items: &[Value], path: &str, out: &mut Vec<FieldError>) {
    for i in repeated(items) {
        out.push(FieldError::duplicate(format!("{path}[{i}]"), items[i].clone()));
    }
}

fn keyed(items: &[Value], keys: &[String], path: &str, out: &mut Vec<FieldError>) {
    if let Some((i, item)) =
        items.iter().enumerate().find(|(_, item)| !item.is_null() && !item.is_object())
    {
        let detail = "must be an object for an array of list-type map";
        out.push(FieldError::invalid(format!("{path}[{i}]"), item.clone(), detail));
        return;
    }
    let of = |item: &Value| {
        let named = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        Value::Object(named.collect::<Map<_, _>>())
    };
    let identities: Vec<Value> = items.iter().map(of).collect();
    for i in repeated(&identities) {
        out.push(FieldError::duplicate(format!("{path}[{i}]"), identities[i].clone()));
    }
}

/// The second occurrences; third ones are not told of.
fn repeated(items: &[Value]) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut out = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let times = seen.entry(item.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            out.push(i);
        }
    }
    out
}
