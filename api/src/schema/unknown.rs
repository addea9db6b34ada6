//! Fields an object has and its kind does not declare.

use serde_json::Value;

use super::{MAX_STRICT_ERRORS, METADATA, Message, Step, Table, Type, children, table};
use crate::kind::Kind;

/// Paths such as `spec.template.spec.containers[0].foo` of fields the kind does not declare, at
/// most [`MAX_STRICT_ERRORS`].
pub fn unknown_fields(kind: &Kind, object: &Value) -> Vec<String> {
    let table = table();
    let mut out = Vec::new();
    if let Some(message) = table.of(kind) {
        walk(table, message, object, &mut String::new(), &mut out);
    }
    out
}

/// Takes fields that metadata does not have out of the metadata of an object inside another; answers
/// their paths below it, at most [`MAX_STRICT_ERRORS`].
pub(crate) fn prune_metadata(metadata: &mut Value) -> Vec<String> {
    let table = table();
    let mut out = Vec::new();
    if let Some(message) = table.by_name(METADATA) {
        walk(table, message, metadata, &mut String::new(), &mut out);
        if let Value::Object(map) = metadata {
            map.retain(|name, _| message.field(name).is_some());
        }
    }
    out
}

/// The paths of unknown fields of a message that stands at `field` of an object.
pub(super) fn below(message: &Message, value: &Value, field: &str) -> Vec<String> {
    let mut out = Vec::new();
    walk(table(), message, value, &mut field.to_owned(), &mut out);
    out
}

fn walk(table: &Table, message: &Message, value: &Value, path: &mut String, out: &mut Vec<String>) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        match message.field(key) {
            None if out.len() < MAX_STRICT_ERRORS => out.push(path.clone()),
            None => {}
            Some(field) => {
                if let Type::Message(index) | Type::SchemaOr(index) = field.ty
                    && let Some(inner) = table.get(index)
                {
                    let length = path.len();
                    for (step, child) in children(field, value) {
                        match step {
                            Step::Here => {}
                            Step::Index(i) => path.push_str(&format!("[{i}]")),
                            Step::Key(k) => {
                                path.push('.');
                                path.push_str(k);
                            }
                        }
                        walk(table, inner, child, path, out);
                        path.truncate(length);
                    }
                }
            }
        }
        path.truncate(length);
    }
}
