//! The types of a configuration that is applied, with the error texts of structured-merge-diff
//! (`typed/validate.go`), which come before those of the decoder.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    compare::key_of,
    topology::{Keys, Record},
};
use crate::{
    crd::{self as custom, Node, Schema},
    kind::Kind,
    schema::{
        Field, Shape, Type, table,
        topology::{ListType, list_type},
    },
};

/// Adds what is of another type than the schema says, up to `most` errors in all.
pub(super) fn faults(
    kind: &Kind,
    schema: Option<&Schema>,
    config: &Value,
    most: usize,
    out: &mut Vec<String>,
) {
    let mut walk = Walk { most, out };
    if let Some(schema) = schema {
        walk.custom(schema.node(), true, config, &mut String::new());
    } else if let Some(root) = table().index_of(kind.message) {
        walk.message(root, config, &mut String::new());
    }
}

struct Walk<'a> {
    most: usize,
    out: &'a mut Vec<String>,
}

impl Walk<'_> {
    /// A value of a custom resource.
    fn custom(&mut self, node: &Node, is_root: bool, value: &Value, path: &mut String) {
        if self.out.len() >= self.most {
            return;
        }
        match (node.ty, value) {
            _ if node.int_or_string => {}
            (_, Value::Null) | (None, _) => {}
            (Some(custom::Type::Object), Value::Object(map)) => {
                for (name, value) in map {
                    self.custom_field(node, is_root, name, value, path);
                }
            }
            (Some(custom::Type::Array), Value::Array(items)) => {
                let Some(inner) = &node.items else { return };
                let keyed = match node.shape() {
                    custom::Shape::Keyed(item, keys) => Some((Record::Node(item), Keys::Own(keys))),
                    _ => None,
                };
                let length = path.len();
                for (at, item) in items.iter().enumerate() {
                    match keyed.and_then(|(record, keys)| key_of(item, record, keys)) {
                        Some(element) => element.show(path),
                        None => write!(path, "[{at}]").unwrap_or_default(),
                    }
                    self.custom(inner, false, item, path);
                    path.truncate(length);
                }
            }
            (Some(custom::Type::Object), other) => self.expected("map", other, path),
            (Some(custom::Type::Array), other) => self.expected("list", other, path),
            (Some(custom::Type::String), other) => self.value(Type::String, other, path),
            (Some(custom::Type::Boolean), other) => self.value(Type::Bool, other, path),
            (Some(custom::Type::Integer | custom::Type::Number), other) => {
                self.value(Type::Double, other, path);
            }
        }
    }

    fn custom_field(
        &mut self,
        node: &Node,
        is_root: bool,
        name: &str,
        value: &Value,
        path: &mut String,
    ) {
        let length = path.len();
        path.push('.');
        path.push_str(name);
        if node.is_meta(is_root, name) {
            match table().index_of("meta.v1.ObjectMeta") {
                Some(metadata) if name == "metadata" => self.message(metadata, value, path),
                _ => self.value(Type::String, value, path),
            }
        } else if let Some(property) = node.property(name) {
            self.custom(property, false, value, path);
        }
        path.truncate(length);
    }

    fn message(&mut self, message: usize, value: &Value, path: &mut String) {
        let Some(message) = table().get(message) else { return };
        let Value::Object(map) = value else {
            return self.expected("map", value, path);
        };
        let length = path.len();
        for (name, value) in map {
            let Some(field) = message.field(name) else { continue };
            path.push('.');
            path.push_str(name);
            self.field(message.name, field, value, path);
            path.truncate(length);
        }
    }

    fn field(&mut self, message: &str, field: &Field, value: &Value, path: &mut String) {
        if self.out.len() >= self.most {
            return;
        }
        let length = path.len();
        match (field.shape, value) {
            (_, Value::Null) => {}
            (Shape::List, Value::Array(items)) => {
                let keys = match list_type(message, field) {
                    ListType::Map(keys) => Keys::Table(keys),
                    _ => Keys::NONE,
                };
                let record = match field.ty {
                    Type::Message(message) => Record::Message(message),
                    _ => Record::Message(usize::MAX),
                };
                for (at, item) in items.iter().enumerate() {
                    match key_of(item, record, keys) {
                        Some(element) => element.show(path),
                        None => write!(path, "[{at}]").unwrap_or_default(),
                    }
                    self.value(field.ty, item, path);
                    path.truncate(length);
                }
            }
            (Shape::Map, Value::Object(map)) => {
                for (name, value) in map {
                    path.push('.');
                    path.push_str(name);
                    self.value(field.ty, value, path);
                    path.truncate(length);
                }
            }
            (Shape::List, other) => self.expected("list", other, path),
            (Shape::Map, other) => self.expected("map", other, path),
            (Shape::One | Shape::Pointer, value) => self.value(field.ty, value, path),
        }
    }

    fn value(&mut self, ty: Type, value: &Value, path: &mut String) {
        match (ty, value) {
            (_, Value::Null) => {}
            (Type::Message(message), value) => self.message(message, value, path),
            (Type::String | Type::Bytes, value) if !value.is_string() => {
                let found = go(value, true);
                self.add(format!(
                    "{path}: expected string, got &value.valueUnstructured{{Value:{found}}}"
                ));
            }
            (Type::Bool, value) if !value.is_boolean() => self.expected("boolean", value, path),
            (Type::Int32 | Type::Int64 | Type::Double, value) if !value.is_number() => {
                let found = go_type(value);
                self.add(format!("{path}: expected numeric (int or float), got {found}"));
            }
            (
                Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime | Type::Duration,
                Value::Array(_) | Value::Object(_),
            ) => self.expected("any scalar", value, path),
            _ => {}
        }
    }

    fn expected(&mut self, wanted: &str, value: &Value, path: &str) {
        self.add(format!("{path}: expected {wanted}, got &{{{}}}", go(value, false)));
    }

    fn add(&mut self, text: String) {
        if self.out.len() < self.most {
            self.out.push(text);
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Longest value shown: a whole object in an error helps nobody.
const SHOWN_MAX: usize = 256;

/// A value as Go prints it: `%#v`, or `%v`.
fn go(value: &Value, sharp: bool) -> String {
    let mut text = match (value, sharp) {
        (Value::String(text), false) => text.clone(),
        (Value::Array(items), false) => {
            let items: Vec<String> = items.iter().map(|item| go(item, false)).collect();
            format!("[{}]", items.join(" "))
        }
        (Value::Object(map), false) => {
            let fields: Vec<String> =
                map.iter().map(|(name, value)| format!("{name}:{}", go(value, false))).collect();
            format!("map[{}]", fields.join(" "))
        }
        (Value::Array(items), true) => {
            let items: Vec<String> = items.iter().map(|item| go(item, true)).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        (Value::Object(map), true) => {
            let fields: Vec<String> =
                map.iter().map(|(name, value)| format!("{name:?}:{}", go(value, true))).collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        (other, _) => other.to_string(),
    };
    if text.len() > SHOWN_MAX {
        text.truncate((0..=SHOWN_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::DEPLOYMENT;

    #[test]
    fn texts_are_those_of_structured_merge_diff() {
        let config = json!({"spec": {"replicas": "2", "paused": "yes", "template": {"spec": {
            "containers": [{"name": "a", "image": 1, "args": [true], "ports": {},
                "env": [{"name": "E", "value": 5}]}],
            "nodeSelector": ["x"], "securityContext": [1, "a"]}}}});
        let mut out = Vec::new();
        faults(DEPLOYMENT, None, &config, 100, &mut out);
        let container = ".spec.template.spec.containers[name=\"a\"]";
        let sharp = |v: &str| format!("expected string, got &value.valueUnstructured{{Value:{v}}}");
        assert_eq!(
            out,
            [
                ".spec.paused: expected boolean, got &{yes}".to_owned(),
                ".spec.replicas: expected numeric (int or float), got string".to_owned(),
                format!("{container}.args[0]: {}", sharp("true")),
                format!("{container}.env[name=\"E\"].value: {}", sharp("5")),
                format!("{container}.image: {}", sharp("1")),
                format!("{container}.ports: expected list, got &{{map[]}}"),
                ".spec.template.spec.nodeSelector: expected map, got &{[x]}".to_owned(),
                ".spec.template.spec.securityContext: expected map, got &{[1 a]}".to_owned(),
            ]
        );
        out.clear();
        faults(DEPLOYMENT, None, &config, 2, &mut out);
        assert_eq!(out.len(), 2);
    }
}
