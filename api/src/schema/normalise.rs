//! Brings an object into the form that is stored: what a decode into upstream's Go structs and an
//! encode back would leave.

use serde_json::{Map, Value};

use super::{Field, Message, Shape, Table, Type, micro_time, seconds_time, table};
use crate::{kind::Kind, quantity::Quantity};

/// Removes fields the kind does not declare, nulls, and zero values of fields that are not written
/// when zero; writes zero values of required scalars; makes quantities and timestamps canonical.
/// Values of a wrong type are left alone: [`super::check_types`] refuses them.
pub fn prune(kind: &Kind, object: &mut Value) {
    let table = table();
    if let Some(message) = table.of(kind) {
        walk(table, message, object);
        // The root is always written with its type.
        if let Value::Object(map) = object {
            map.insert("apiVersion".into(), kind.api_version().into());
            map.insert("kind".into(), kind.kind.into());
        }
    }
}

/// Writes the zero values a status always shows, such as `replicas: 0`.
pub fn fill_status(kind: &Kind, object: &mut Value) {
    let table = table();
    let field = table.of(kind).and_then(|message| message.field("status"));
    if let (Some(Type::Message(index)), Some(Value::Object(map))) =
        (field.map(|f| f.ty), object.get_mut("status"))
        && let Some(message) = table.get(index)
    {
        fill(message, map);
    }
}

/// Normalises a message inside an object.
pub(super) fn below(message: &Message, value: &mut Value) {
    walk(table(), message, value);
}

/// The canonical form of a quantity text; `None` if it is canonical already or no quantity.
fn canonical_quantity(text: &str) -> Option<String> {
    let canonical = Quantity::parse(text.trim()).ok()?.to_string();
    (canonical != text).then_some(canonical)
}

fn walk(table: &Table, message: &Message, value: &mut Value) {
    let Value::Object(map) = value else { return };
    map.retain(|key, value| match message.field(key) {
        Some(field) => keep(table, field, value),
        None => false,
    });
    fill(message, map);
}

/// Writes required scalars that are absent.
fn fill(message: &Message, map: &mut Map<String, Value>) {
    for field in message.fields() {
        if !field.required || field.shape != Shape::One || map.contains_key(field.name) {
            continue;
        }
        let zero = match field.ty {
            Type::String => Value::String(String::new()),
            Type::Bool => Value::Bool(false),
            Type::Int32 | Type::Int64 | Type::Double => 0.into(),
            _ => continue,
        };
        map.insert(field.name.to_owned(), zero);
    }
}

/// Normalises one field's value; answers whether it is kept.
fn keep(table: &Table, field: &Field, value: &mut Value) -> bool {
    match field.shape {
        _ if value.is_null() => return false,
        Shape::List => {
            if let Value::Array(items) = value {
                for item in items.iter_mut() {
                    element(table, field, item);
                }
                return !items.is_empty() || field.required;
            }
        }
        Shape::Map => {
            if let Value::Object(map) = value {
                for item in map.values_mut() {
                    element(table, field, item);
                }
                return !map.is_empty() || field.required;
            }
        }
        Shape::Pointer => element(table, field, value),
        Shape::One => {
            element(table, field, value);
            if field.required {
                return true;
            }
            return match (field.ty, &*value) {
                (Type::String | Type::Bytes, Value::String(s)) => !s.is_empty(),
                (Type::Bool, Value::Bool(b)) => *b,
                (Type::Int32 | Type::Int64 | Type::Double, Value::Number(n)) => {
                    n.as_f64() != Some(0.0)
                }
                (Type::Time | Type::MicroTime, Value::String(s)) => !s.is_empty(),
                _ => true,
            };
        }
    }
    true
}

fn element(table: &Table, field: &Field, value: &mut Value) {
    if value.is_null() {
        *value = match field.ty {
            Type::String | Type::Bytes => "".into(),
            Type::Bool => false.into(),
            Type::Int32 | Type::Int64 | Type::Double => 0.into(),
            Type::Quantity => "0".into(),
            Type::Strings => Value::Array(Vec::new()),
            Type::Message(_) => Value::Object(Map::new()),
            _ => return,
        };
    }
    let replacement = match (field.ty, &*value) {
        (Type::SchemaOr(_), Value::Array(_)) => {
            for item in value.as_array_mut().into_iter().flatten() {
                element(table, field, item);
            }
            return;
        }
        (Type::Message(index) | Type::SchemaOr(index), _) => {
            if let Some(inner) = table.get(index) {
                walk(table, inner, value);
            }
            return;
        }
        (Type::Quantity, Value::String(text)) => canonical_quantity(text),
        (Type::Quantity, Value::Number(number)) => {
            Quantity::parse(&number.to_string()).ok().map(|q| q.to_string())
        }
        (Type::Time, Value::String(text)) => seconds_time(text).filter(|t| t != text),
        (Type::MicroTime, Value::String(text)) => micro_time(text).filter(|t| t != text),
        _ => return,
    };
    if let Some(replacement) = replacement {
        *value = Value::String(replacement);
    }
}
