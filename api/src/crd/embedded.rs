//! Embedded resources: `apiVersion`, `kind` and `metadata` below
//! `x-kubernetes-embedded-resource` (`schema/objectmeta/validation.go`). Those of the object itself
//! are checked as those of every kind.

use serde_json::Value;

use super::{
    FAULTS_MAX,
    node::{Additional, Node},
};
use crate::{
    name,
    validate::{self, FieldError},
};

/// What is wrong with embedded resources anywhere in an object.
pub(super) fn check(root: &Node, object: &Value, out: &mut Vec<FieldError>) {
    walk(root, object, "", out);
}

/// What is wrong with a value that is an embedded resource itself or has some; it is at `path`.
pub(super) fn check_at(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let mut out = Vec::new();
    walk(node, value, path, &mut out);
    out
}

fn walk(node: &Node, value: &Value, path: &str, out: &mut Vec<FieldError>) {
    if out.len() >= FAULTS_MAX {
        return;
    }
    match value {
        Value::Object(map) => {
            if node.embedded {
                resource(value, path, out);
            }
            for (name, value) in map {
                if let Some(property) = node.properties.get(name) {
                    walk(property, value, &child(path, name), out);
                } else if let Additional::Schema(inner) = &node.additional {
                    walk(inner, value, &format!("{path}[{name}]"), out);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &node.items {
                for (i, item) in items.iter().enumerate().filter(|(_, item)| !is_scalar(item)) {
                    walk(inner, item, &format!("{path}[{i}]"), out);
                }
            }
        }
        _ => {}
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn resource(object: &Value, path: &str, out: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let path = child(path, name);
        match object.get(name) {
            None => out.push(FieldError::required(path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                out.push(FieldError::required(path, ""));
            }
            Some(Value::String(text)) if name == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let detail = format!("unexpected GroupVersion string: {text}");
                    out.push(FieldError::invalid(path, text.as_str(), detail));
                }
            }
            Some(Value::String(text)) => {
                let faults = name::dns1035_label(&text.to_lowercase());
                if !faults.is_empty() {
                    let faults = faults.join(",");
                    let detail =
                        format!("may have mixed case, but should otherwise match: {faults}");
                    out.push(FieldError::invalid(path, text.as_str(), detail));
                }
            }
            Some(other) => out.push(FieldError::invalid(path, other.clone(), "must be a string")),
        }
    }
    if let Some(metadata) = object.get("metadata") {
        let path = child(path, "metadata");
        match crate::schema::check_metadata(metadata) {
            Err(detail) => out.push(FieldError::invalid(path, metadata.clone(), detail)),
            Ok(()) => out.extend(validate::embedded_metadata(metadata, &path)),
        }
    }
}
