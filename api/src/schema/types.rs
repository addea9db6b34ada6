//! JSON types of an object's fields, with the error texts of Go's decoder.

use base64::Engine;
use serde_json::Value;

use super::{Field, METADATA, Message, Shape, Table, Type, micro_time, seconds_time, table};
use crate::{kind::Kind, quantity::Quantity, status::Status, text::quote};

/// Checks the JSON type of every declared field; unknown fields are not looked at.
///
/// # Errors
/// 400 `Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal
/// string into Go struct field DeploymentSpec.spec.replicas of type int32`.
pub fn check_types(kind: &Kind, object: &Value) -> Result<(), Status> {
    let table = table();
    let Some(message) = table.of(kind) else { return Ok(()) };
    let refuse = |detail: String| Status::cannot_be_handled(kind.version, kind.kind, &detail);
    let Value::Object(_) = object else {
        return Err(refuse(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            json_type(object),
            message.go_type()
        )));
    };
    walk(table, message, object, &mut Vec::new()).map_err(refuse)
}

/// [`check_types`] for the metadata of an object inside another.
///
/// # Errors
/// The text of Go's decoder.
pub(crate) fn check_metadata(metadata: &Value) -> Result<(), String> {
    let table = table();
    let Some(message) = table.by_name(METADATA) else { return Ok(()) };
    match metadata {
        Value::Object(_) => walk(table, message, metadata, &mut Vec::new()),
        Value::Null => Ok(()),
        other => Err(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            json_type(other),
            message.go_type()
        )),
    }
}

/// Checks a message that stands at `field` of an object.
pub(super) fn check_below(message: &Message, value: &Value, field: &str) -> Result<(), String> {
    walk(table(), message, value, &mut vec![field])
}

fn json_type(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

fn walk<'v>(
    table: &Table,
    message: &Message,
    value: &'v Value,
    path: &mut Vec<&'v str>,
) -> Result<(), String> {
    let Value::Object(map) = value else { return Ok(()) };
    for (key, value) in map {
        let Some(field) = message.field(key) else { continue };
        path.push(key);
        shape(table, message, field, value, path)?;
        path.pop();
    }
    Ok(())
}

fn shape<'v>(
    table: &Table,
    message: &Message,
    field: &Field,
    value: &'v Value,
    path: &mut Vec<&'v str>,
) -> Result<(), String> {
    match (field.shape, value) {
        (_, Value::Null) => Ok(()),
        (Shape::List, Value::Array(items)) => {
            items.iter().try_for_each(|v| element(table, message, field, v, path))
        }
        (Shape::Map, Value::Object(map)) => {
            map.values().try_for_each(|v| element(table, message, field, v, path))
        }
        (Shape::List | Shape::Map, other) => {
            Err(mismatch(message, path, &json_type(other), &go_type(table, field, true)))
        }
        (Shape::One | Shape::Pointer, value) => element(table, message, field, value, path),
    }
}

fn element<'v>(
    table: &Table,
    message: &Message,
    field: &Field,
    value: &'v Value,
    path: &mut Vec<&'v str>,
) -> Result<(), String> {
    let fail = |found: &str| Err(mismatch(message, path, found, &go_type(table, field, false)));
    match (field.ty, value) {
        (_, Value::Null)
        | (Type::String, Value::String(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Double, Value::Number(_))
        | (Type::IntOrString, Value::String(_))
        | (Type::RawExtension | Type::FieldsV1, _) => Ok(()),
        (Type::Message(index) | Type::SchemaOr(index), Value::Object(_)) => {
            match table.get(index) {
                Some(inner) => walk(table, inner, value, path),
                None => Ok(()),
            }
        }
        (Type::SchemaOr(_), Value::Bool(_)) => Ok(()),
        (Type::SchemaOr(_), Value::Array(items)) => items
            .iter()
            .filter(|i| i.is_object())
            .try_for_each(|i| element(table, message, field, i, path)),
        (Type::Int32 | Type::IntOrString, Value::Number(n)) => {
            match n.as_i64().map(i32::try_from) {
                Some(Ok(_)) => Ok(()),
                _ => fail(&format!("number {n}")),
            }
        }
        (Type::Int64 | Type::Duration, Value::Number(n)) if n.is_i64() => Ok(()),
        (Type::Int64, Value::Number(n)) => fail(&format!("number {n}")),
        (Type::Duration, Value::String(_)) => Ok(()),
        (Type::Strings, Value::Array(items)) => match items.iter().find(|i| !i.is_string()) {
            Some(bad) => fail(&json_type(bad)),
            None => Ok(()),
        },
        (Type::Bytes, Value::String(text)) => base64_error(text).map_or(Ok(()), Err),
        (Type::Quantity, Value::String(text)) => quantity(text.trim()),
        (Type::Quantity, Value::Number(n)) => quantity(&n.to_string()),
        (Type::Time, Value::String(text)) => match seconds_time(text) {
            Some(_) => Ok(()),
            None => Err(bad_time(text, "2006-01-02T15:04:05Z07:00")),
        },
        (Type::MicroTime, Value::String(text)) => match micro_time(text) {
            Some(_) => Ok(()),
            None => Err(bad_time(text, "2006-01-02T15:04:05.000000Z07:00")),
        },
        (_, other) => fail(&json_type(other)),
    }
}

fn quantity(text: &str) -> Result<(), String> {
    Quantity::parse(text).map(|_| ()).map_err(|e| e.to_string())
}

fn bad_time(text: &str, layout: &str) -> String {
    format!(
        "parsing time {} as {}: cannot parse {} as \"2006\"",
        quote(text),
        quote(layout),
        quote(text)
    )
}

/// Go's text for bad standard base64; `None` if the text is fine. Line breaks are skipped there.
fn base64_error(text: &str) -> Option<String> {
    let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let error = base64::engine::general_purpose::STANDARD.decode(&clean).err()?;
    let offset = match error {
        base64::DecodeError::InvalidByte(offset, _)
        | base64::DecodeError::InvalidLastSymbol(offset, _) => offset,
        _ => clean.len(),
    };
    Some(format!("illegal base64 data at input byte {offset}"))
}

fn mismatch(message: &Message, path: &[&str], found: &str, wanted: &str) -> String {
    let holder = message.name.rsplit('.').next().unwrap_or(message.name);
    format!(
        "json: cannot unmarshal {found} into Go struct field {holder}.{} of type {wanted}",
        path.join(".")
    )
}

fn go_type(table: &Table, field: &Field, whole: bool) -> String {
    let element = match field.ty {
        Type::String => "string",
        Type::Bool => "bool",
        Type::Int32 | Type::IntOrString => "int32",
        Type::Int64 => "int64",
        Type::Double => "float64",
        Type::Bytes => "[]uint8",
        Type::Time => "v1.Time",
        Type::MicroTime => "v1.MicroTime",
        Type::Duration => "v1.Duration",
        Type::Quantity => "resource.Quantity",
        Type::RawExtension => "runtime.RawExtension",
        Type::FieldsV1 => "v1.FieldsV1",
        Type::Strings => "[]string",
        Type::Message(index) | Type::SchemaOr(index) => {
            table.get(index).map_or("object", Message::go_type)
        }
    };
    match field.shape {
        Shape::List if whole => format!("[]{element}"),
        Shape::Map if whole => format!("map[string]{element}"),
        _ => element.to_owned(),
    }
}
