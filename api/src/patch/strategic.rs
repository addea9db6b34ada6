//! Strategic merge patch: a merge patch that knows which lists merge, and by which key.
//! Behaviour of apimachinery `pkg/util/strategicpatch/patch.go`.

use serde_json::{Map, Value};

use super::refusal::json_type;
use crate::{
    schema::{self, FieldInfo},
    status::Status,
};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";
/// Depth of a patch; deeper ones are refused before they exhaust the stack.
const DEPTH_MAX: usize = 128;

/// Applies a strategic merge patch to an object of `message` (see [`schema::message_of`]).
///
/// # Errors
/// 400 for patches that are no object, unknown directives, and list items without their merge key.
pub fn strategic_merge(message: &str, original: &Value, patch: &Value) -> Result<Value, Status> {
    let (Some(original), Some(patch)) = (original.as_object(), patch.as_object()) else {
        return Err(Status::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_type(patch)
        )));
    };
    merge_object(Some(message), original.clone(), patch, DEPTH_MAX).map(Value::Object)
}

fn bad(text: impl std::fmt::Display) -> Status {
    Status::bad_request(format!("error applying the patch: {text}"))
}

type Object = Map<String, Value>;

fn merge_object(
    message: Option<&str>,
    mut original: Object,
    patch: &Object,
    depth: usize,
) -> Result<Object, Status> {
    if depth == 0 {
        return Err(bad("it is nested too deeply"));
    }
    match patch.get(DIRECTIVE) {
        None => {}
        Some(Value::String(s)) if s == "merge" => {}
        Some(Value::String(s)) if s == "replace" => return Ok(without_directives(patch)),
        Some(Value::String(s)) if s == "delete" => return Ok(Object::new()),
        Some(other) => return Err(bad(format!("unknown strategy {DIRECTIVE}: {other}"))),
    }
    if let Some(keep) = patch.get(RETAIN_KEYS) {
        let keep = keep.as_array().ok_or_else(|| bad("$retainKeys must be a list"))?;
        original.retain(|key, _| keep.iter().any(|k| k == key));
    }
    for (key, value) in patch {
        if key == DIRECTIVE || key == RETAIN_KEYS {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_PRIMITIVES) {
            // Ordering happens below, when the list itself (if it is there) was merged.
            if !patch.contains_key(field) {
                let list = merged_list(message, field, &original, patch, depth)?;
                put_list(&mut original, field, list);
            }
            continue;
        }
        if let Some(field) = key.strip_prefix(ELEMENT_ORDER) {
            let deletes = patch.contains_key(&format!("{DELETE_PRIMITIVES}{field}"));
            if !patch.contains_key(field) && !deletes {
                let list = merged_list(message, field, &original, patch, depth)?;
                put_list(&mut original, field, list);
            }
            continue;
        }
        merge_field(message, &mut original, key, value, patch, depth)?;
    }
    Ok(original)
}

fn merge_field(
    message: Option<&str>,
    original: &mut Object,
    key: &str,
    value: &Value,
    patch: &Object,
    depth: usize,
) -> Result<(), Status> {
    let info = message.and_then(|m| schema::field(m, key));
    match value {
        Value::Null => {
            original.remove(key);
        }
        Value::Array(_) => {
            let list = merged_list(message, key, original, patch, depth)?;
            put_list(original, key, list);
        }
        Value::Object(change) => {
            let replaces = info.as_ref().is_some_and(|i| i.replace);
            let base = match original.remove(key) {
                Some(Value::Object(base)) if !replaces => base,
                _ => Object::new(),
            };
            let inner = info.as_ref().and_then(|i| i.message);
            let merged = merge_object(inner, base, change, depth - 1)?;
            original.insert(key.to_owned(), Value::Object(merged));
        }
        scalar => {
            original.insert(key.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn put_list(original: &mut Object, field: &str, list: Option<Vec<Value>>) {
    if let Some(list) = list {
        original.insert(field.to_owned(), Value::Array(list));
    }
}

/// A list field after its items, deletions and order in the patch were applied. `None` leaves the
/// field as it is.
fn merged_list(
    message: Option<&str>,
    field: &str,
    original: &Object,
    patch: &Object,
    depth: usize,
) -> Result<Option<Vec<Value>>, Status> {
    let info = message.and_then(|m| schema::field(m, field));
    let base = original.get(field).and_then(Value::as_array).cloned();
    let change = patch.get(field).and_then(Value::as_array);
    let mergeable = info.as_ref().is_some_and(|i| i.merge && i.repeated);
    if !mergeable {
        return Ok(change.cloned());
    }
    let order = patch.get(&format!("{ELEMENT_ORDER}{field}")).and_then(Value::as_array);
    let deleted = patch.get(&format!("{DELETE_PRIMITIVES}{field}")).and_then(Value::as_array);
    if base.is_none() && change.is_none() {
        return Ok(None);
    }
    let had: Vec<Value> = base.unwrap_or_default();
    let no_change = Vec::new();
    let change = change.unwrap_or(&no_change);
    let key = info.as_ref().and_then(|i| i.merge_key);
    let merged = match key {
        Some(key) => merge_items(info.as_ref(), key, had.clone(), change, depth)?,
        None => merge_primitives(had.clone(), change, deleted),
    };
    Ok(Some(match order {
        Some(order) => sort(merged, &had, order, key),
        None => merged,
    }))
}

fn merge_primitives(
    mut list: Vec<Value>,
    change: &[Value],
    deleted: Option<&Vec<Value>>,
) -> Vec<Value> {
    if let Some(deleted) = deleted {
        list.retain(|item| !deleted.contains(item));
    }
    for item in change {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
    list
}

fn merge_items(
    info: Option<&FieldInfo>,
    key: &str,
    mut list: Vec<Value>,
    change: &[Value],
    depth: usize,
) -> Result<Vec<Value>, Status> {
    let directive = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
    if change.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        let kept = change.iter().filter(|item| item.get(DIRECTIVE).is_none());
        return Ok(kept
            .map(|item| {
                item.as_object().map_or(item.clone(), |o| Value::Object(without_directives(o)))
            })
            .collect());
    }
    let inner = info.and_then(|i| i.message);
    for item in change {
        let Some(object) = item.as_object() else {
            return Err(bad(format!("item {item} of a list of objects is no object")));
        };
        let Some(id) = object.get(key) else {
            return Err(Status::bad_request(format!(
                "map: {item} does not contain declared merge key: {key}"
            )));
        };
        let position = list.iter().position(|had| had.get(key) == Some(id));
        match (directive(item).as_deref(), position) {
            (Some("delete"), _) => list.retain(|had| had.get(key) != Some(id)),
            (None | Some("merge"), Some(position)) => {
                let had = list.get_mut(position).map(Value::take);
                let had = had.and_then(|v| match v {
                    Value::Object(o) => Some(o),
                    _ => None,
                });
                let merged = merge_object(inner, had.unwrap_or_default(), object, depth - 1)?;
                if let Some(slot) = list.get_mut(position) {
                    *slot = Value::Object(merged);
                }
            }
            (None | Some("merge"), None) => {
                // Merged into nothing, so that its own directives and nulls take effect.
                let fresh = merge_object(inner, Object::new(), object, depth - 1)?;
                list.push(Value::Object(fresh));
            }
            (Some(other), _) => return Err(bad(format!("unknown strategy {DIRECTIVE}: {other}"))),
        }
    }
    Ok(list)
}

/// Sorts the items that `order` names as it names them; items it does not name, which only the
/// server has, keep their place relative to what was before them.
fn sort(merged: Vec<Value>, had: &[Value], order: &[Value], key: Option<&str>) -> Vec<Value> {
    let id = |item: &Value| match key {
        Some(key) => item.get(key).cloned().unwrap_or(Value::Null),
        None => item.clone(),
    };
    let order: Vec<Value> = order.iter().map(id).collect();
    let rank = |item: &Value| order.iter().position(|o| *o == id(item));
    let place = |item: &Value| had.iter().position(|h| id(h) == id(item));
    let (mut listed, server_only): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| rank(item).is_some());
    listed.sort_by_key(|item| rank(item));
    let mut out = Vec::with_capacity(listed.len() + server_only.len());
    let mut server_only = server_only.into_iter().peekable();
    let mut listed = listed.into_iter().peekable();
    loop {
        match (listed.peek(), server_only.peek()) {
            (Some(a), Some(b)) => {
                // A server-only item goes first when it was before the listed one; new listed items
                // come before server-only ones.
                let server_first = matches!((place(a), place(b)), (Some(a), Some(b)) if b < a);
                out.extend(if server_first { server_only.next() } else { listed.next() });
            }
            (Some(_), None) => out.extend(listed.next()),
            (None, Some(_)) => out.extend(server_only.next()),
            (None, None) => return out,
        }
    }
}

/// A patch that replaces: its content without directives, at any depth.
fn without_directives(patch: &Object) -> Object {
    let plain = |key: &str| {
        key != DIRECTIVE
            && key != RETAIN_KEYS
            && !key.starts_with(DELETE_PRIMITIVES)
            && !key.starts_with(ELEMENT_ORDER)
    };
    patch
        .iter()
        .filter(|(key, value)| plain(key) && !value.is_null())
        .map(|(key, value)| {
            let value = match value {
                Value::Object(inner) => Value::Object(without_directives(inner)),
                other => other.clone(),
            };
            (key.clone(), value)
        })
        .collect()
}
