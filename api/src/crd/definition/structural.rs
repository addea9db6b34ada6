//! The rules of structural schemas (`schema/validation.go`): the shape of objects is said outside of
//! `allOf`, `anyOf`, `oneOf` and `not`, and those say nothing but what values may be.

use serde_json::{Value, json};

use super::{Errors, complete, list, present, text};
use crate::{crd::pattern, validate::FieldError};

/// What a schema is the schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Everything that keeps a schema from being structural, in the order of the messages.
pub(super) fn check(schema: &Value, path: &str) -> Errors {
    let mut out = Vec::new();
    invariants(&mut out, schema, Level::Root, path);
    complete::check(&mut out, schema, path);
    out.sort_by_cached_key(FieldError::to_string);
    out
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

fn invariants(out: &mut Errors, schema: &Value, level: Level, path: &str) {
    let ty = text(schema, "type");
    let items = present(schema, "items").filter(|items| items.is_object());
    match items {
        Some(items) => invariants(out, items, Level::Item, &format!("{path}.items")),
        None if ty == "array" => {
            out.push(FieldError::required(format!("{path}.items"), "must be specified"));
        }
        None => {}
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        invariants(out, property, Level::Field, &format!("{path}.properties[{name}]"));
    }
    let additional = present(schema, "additionalProperties");
    if let Some(inner) = additional {
        let path = format!("{path}.additionalProperties");
        if level == Level::Root {
            out.push(FieldError::forbidden(path.clone(), "must not be used at the root"));
        }
        if inner.is_object() {
            invariants(out, inner, Level::Field, &path);
        }
    }
    extensions(out, schema, path);
    let first = &list(&schema["allOf"]).first().map_or(Value::Null, |first| first["anyOf"].clone());
    values(out, schema, is_int_or_string(&schema["anyOf"]), is_int_or_string(first), path);
    types(out, schema, level, path);
    metadata(out, schema, level, path);
}

/// `anyOf: [{type: integer}, {type: string}]`, the one place where a type may stand in a junction.
fn is_int_or_string(any_of: &Value) -> bool {
    *any_of == json!([{"type": "integer"}, {"type": "string"}])
}

fn extensions(out: &mut Errors, schema: &Value, path: &str) {
    if !flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(schema, name) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            out.push(FieldError::invalid(format!("{path}.{name}"), true, detail));
        }
    }
}

fn types(out: &mut Errors, schema: &Value, level: Level, path: &str) {
    let ty = text(schema, "type");
    let at = format!("{path}.type");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    if embedded && ty != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        out.push(match ty {
            "" => FieldError::required(at.clone(), detail),
            _ => FieldError::invalid(at.clone(), ty, detail),
        });
    } else if ty.is_empty() && !flag(schema, "x-kubernetes-int-or-string") && !preserve {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        out.push(FieldError::required(at.clone(), detail));
    }
    if embedded && present(schema, "additionalProperties").is_some() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        out.push(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        out.push(FieldError::invalid(at, ty, "must be object at the root"));
    }
    let has_properties = schema["properties"].as_object().is_some_and(|map| !map.is_empty());
    if embedded && !preserve && !has_properties {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        out.push(FieldError::required(format!("{path}.properties"), detail));
    }
}

/// The metadata of whole objects is what it is; of the object itself only names can be restricted.
fn metadata(out: &mut Errors, schema: &Value, level: Level, path: &str) {
    let is_object = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let mut wants = |name: &str, wanted: &str| {
        if let Some(property) = present(&schema["properties"], name)
            && is_object
            && text(property, "type") != wanted
        {
            let path = format!("{path}.properties[{name}].type");
            let detail = format!("must be {wanted}");
            out.push(FieldError::invalid(path, text(property, "type"), detail));
        }
    };
    wants("kind", "string");
    wants("apiVersion", "string");
    wants("metadata", "object");
    let Some(metadata) = present(&schema["properties"], "metadata") else { return };
    let properties = metadata["properties"].as_object();
    let only_names = properties
        .is_none_or(|map| map.keys().all(|name| name == "name" || name == "generateName"));
    let nothing_else = metadata
        .as_object()
        .is_some_and(|map| map.keys().all(|k| k == "type" || k == "properties" || k == "default"));
    if level == Level::Root && !(only_names && nothing_else) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        out.push(FieldError::forbidden(format!("{path}.properties[metadata]"), detail));
    }
}

/// What a schema says of values; `skip_any_of` and `skip_first` are for the pattern of int or string.
fn values(out: &mut Errors, schema: &Value, skip_any_of: bool, skip_first: bool, path: &str) {
    if !skip_any_of {
        for (i, inner) in list(&schema["anyOf"]).iter().enumerate() {
            nested(out, inner, false, &format!("{path}.anyOf[{i}]"));
        }
    }
    for (i, inner) in list(&schema["allOf"]).iter().enumerate() {
        nested(out, inner, skip_first && i == 0, &format!("{path}.allOf[{i}]"));
    }
    for (i, inner) in list(&schema["oneOf"]).iter().enumerate() {
        nested(out, inner, false, &format!("{path}.oneOf[{i}]"));
    }
    if let Some(not) = present(schema, "not") {
        nested(out, not, false, &format!("{path}.not"));
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(why) = pattern::compile(pattern)
    {
        let detail = pattern::refusal(&why);
        out.push(FieldError::invalid(format!("{path}.pattern"), pattern, detail));
    }
}

/// Fields that say what a value is, and how messages want them, in their order.
const FORBIDDEN: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

fn nested(out: &mut Errors, schema: &Value, skip_any_of: bool, path: &str) {
    values(out, schema, skip_any_of, false, path);
    if let Some(items) = present(schema, "items").filter(|items| items.is_object()) {
        nested(out, items, false, &format!("{path}.items"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        nested(out, property, false, &format!("{path}.properties[{name}]"));
    }
    for (name, detail) in FORBIDDEN {
        let is_set = match present(schema, name) {
            None => false,
            Some(Value::Bool(value)) => *value || detail.contains("undefined"),
            Some(Value::String(text)) => !text.is_empty() || detail.contains("undefined"),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        };
        if is_set {
            out.push(FieldError::forbidden(format!("{path}.{name}"), *detail));
        }
    }
    if present(&schema["properties"], "metadata").is_some() {
        let path = format!("{path}.properties[metadata]");
        out.push(FieldError::forbidden(path, "must not be specified in a nested context"));
    }
}
