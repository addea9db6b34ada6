//! Protobuf bodies: the `k8s\0` envelope and, by the field table, the message inside, turned into
//! the JSON that the same object would have (kubernetes-api.md §1.6).

use base64::Engine;
use serde_json::{Map, Value};

use super::{
    MAX_DEPTH, json, unrecognised,
    wire::{Reader, Wire},
};
use crate::{
    kind::Kind,
    quantity::Quantity,
    schema::{self, Field, Message, Shape, Type},
    status::Status,
};

/// First bytes of every body.
const MAGIC: &[u8] = b"k8s\0";

pub(super) fn decode(body: &[u8], expected: &Kind) -> Result<Value, Status> {
    let Some(envelope) = body.strip_prefix(MAGIC) else {
        let detail = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
        return Err(unrecognised(expected, detail, body));
    };
    let fail = |detail: String| Status::cannot_be_handled(expected.version, expected.kind, &detail);
    let (api_version, kind, raw) = unknown(envelope).map_err(fail)?;
    let Some(message) = schema::table().of(expected) else {
        return Err(Status::internal(format!("no message for {}", expected.kind)));
    };
    let mut object = Value::Object(self::message(message, raw, 0).map_err(fail)?);
    if !kind.is_empty() {
        object["kind"] = kind.into();
    }
    if !api_version.is_empty() {
        object["apiVersion"] = api_version.into();
    }
    // Delete options come with the meta version or that of any group.
    if expected != crate::kind::DELETE_OPTIONS {
        super::check_type(&mut object, expected, body)?;
    }
    Ok(object)
}

/// `runtime.Unknown` as (apiVersion, kind, raw).
fn unknown(bytes: &[u8]) -> Result<(String, String, &[u8]), String> {
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(bytes) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Reader::new(meta) {
                    match field? {
                        (1, Wire::Bytes(b)) => api_version = text(b)?,
                        (2, Wire::Bytes(b)) => kind = text(b)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(b)) => raw = b,
            (3, Wire::Bytes(b)) if !b.is_empty() => {
                return Err("content encodings of protobuf bodies are not supported".to_owned());
            }
            _ => {}
        }
    }
    Ok((api_version, kind, raw))
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| "proto: string field has invalid UTF-8".to_owned())
}

fn message(message: &Message, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    merge(message, bytes, depth, &mut out)?;
    Ok(out)
}

/// Reads a message into `out`; inlined ones share the map of their parent.
fn merge(
    message: &Message,
    bytes: &[u8],
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("exceeded max depth of {MAX_DEPTH}"));
    }
    for field in Reader::new(bytes) {
        let (tag, wire) = field?;
        if let Some(inner) = message.inlined(tag).and_then(|i| schema::table().get(i)) {
            let Wire::Bytes(bytes) = wire else { return Err(wrong_type(message.name, &wire)) };
            merge(inner, bytes, depth + 1, out)?;
        } else if let Some(field) = message.by_tag(tag) {
            put(field, wire, depth, out)?;
        }
    }
    Ok(())
}

fn wrong_type(name: &str, wire: &Wire<'_>) -> String {
    format!("proto: wrong wireType = {} for field {name}", wire.number())
}

fn put(
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), String> {
    match field.shape {
        Shape::List => {
            let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(items) = list else { return Ok(()) };
            match (field.ty, wire) {
                (Type::Int32 | Type::Int64 | Type::Bool, Wire::Bytes(packed)) => {
                    let mut reader = Reader::new(packed);
                    while !reader.is_done() {
                        items.extend(value(field, Wire::Varint(reader.varint()?), depth)?);
                    }
                }
                _ => items.extend(value(field, wire, depth)?),
            }
        }
        Shape::Map => {
            let Wire::Bytes(entry) = wire else { return Err(wrong_type(field.name, &wire)) };
            let (mut key, mut item) = (String::new(), None);
            for part in Reader::new(entry) {
                match part? {
                    (1, Wire::Bytes(b)) => key = text(b)?,
                    (2, wire) => item = value(field, wire, depth)?,
                    _ => {}
                }
            }
            let item = item.unwrap_or_else(|| zero(field.ty));
            let map = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, item);
            }
        }
        Shape::One | Shape::Pointer => match value(field, wire, depth)? {
            Some(value) if field.shape == Shape::One && !field.required && is_zero(&value) => {
                out.remove(field.name);
            }
            Some(value) => {
                out.insert(field.name.to_owned(), value);
            }
            None => {}
        },
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        _ => false,
    }
}

/// The value of a map entry that has none on the wire.
fn zero(ty: Type) -> Value {
    match ty {
        Type::String | Type::Bytes => "".into(),
        Type::Quantity => "0".into(),
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::Double | Type::Duration => 0.into(),
        Type::Strings => Value::Array(Vec::new()),
        _ => Value::Object(Map::new()),
    }
}

/// One value; `None` for timestamps and raw JSON that are empty.
fn value(field: &Field, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, String> {
    let wrong = || wrong_type(field.name, &wire);
    let out = match (field.ty, wire) {
        (Type::String, Wire::Bytes(b)) => Value::String(text(b)?),
        (Type::Bool, Wire::Varint(n)) => Value::Bool(n != 0),
        // Go truncates to the low 32 bits, as the format says.
        (Type::Int32, Wire::Varint(n)) => (n as i64 as i32).into(),
        (Type::Int64, Wire::Varint(n)) => (n as i64).into(),
        (Type::Double, Wire::Fixed64(n)) => serde_json::Number::from_f64(f64::from_bits(n))
            .map(Value::Number)
            .ok_or_else(|| format!("proto: field {} is not finite", field.name))?,
        (Type::Bytes, Wire::Bytes(b)) => base64::engine::general_purpose::STANDARD.encode(b).into(),
        (Type::Time, Wire::Bytes(b)) => return timestamp(b, false),
        (Type::MicroTime, Wire::Bytes(b)) => return timestamp(b, true),
        (Type::Duration, Wire::Bytes(b)) => {
            let nanos = numbers(b)?.first().map_or(0, |(_, n)| *n as i64);
            Value::from(nanos)
        }
        (Type::Quantity, Wire::Bytes(b)) => quantity(b)?,
        (Type::IntOrString, Wire::Bytes(b)) => int_or_string(b)?,
        (Type::RawExtension | Type::FieldsV1, Wire::Bytes(b)) => return raw_json(b),
        (Type::Strings, Wire::Bytes(b)) => strings(b)?,
        (Type::SchemaOr(index), Wire::Bytes(b)) => schema_or(field, index, b, depth)?,
        (Type::Message(index), Wire::Bytes(b)) => match schema::table().get(index) {
            Some(inner) => Value::Object(message(inner, b, depth + 1)?),
            None => return Ok(None),
        },
        _ => return Err(wrong()),
    };
    Ok(Some(out))
}

/// The varint fields of a small message.
fn numbers(bytes: &[u8]) -> Result<Vec<(u32, u64)>, String> {
    let mut out = Vec::new();
    for field in Reader::new(bytes) {
        if let (tag, Wire::Varint(n)) = field? {
            out.push((tag, n));
        }
    }
    Ok(out)
}

fn timestamp(bytes: &[u8], micro: bool) -> Result<Option<Value>, String> {
    let (mut seconds, mut nanos) = (0, 0);
    for (tag, number) in numbers(bytes)? {
        match tag {
            1 => seconds = number as i64,
            2 => nanos = number as i64,
            _ => {}
        }
    }
    if seconds == 0 && nanos == 0 {
        return Ok(None);
    }
    schema::from_parts(seconds, nanos, micro)
        .map(|t| Some(Value::String(t)))
        .ok_or_else(|| "proto: timestamp out of range".to_owned())
}

fn first_bytes(bytes: &[u8], wanted: u32) -> Result<&[u8], String> {
    let mut out = &[][..];
    for field in Reader::new(bytes) {
        if let (tag, Wire::Bytes(b)) = field?
            && tag == wanted
        {
            out = b;
        }
    }
    Ok(out)
}

fn quantity(bytes: &[u8]) -> Result<Value, String> {
    let text = text(first_bytes(bytes, 1)?)?;
    if text.is_empty() {
        return Ok("0".into());
    }
    Quantity::parse(&text).map(|q| q.to_string().into()).map_err(|e| e.to_string())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let numbers = numbers(bytes)?;
    let number = |tag| numbers.iter().rev().find(|(t, _)| *t == tag).map_or(0, |(_, n)| *n);
    if number(1) == 0 {
        return Ok((number(2) as i64 as i32).into());
    }
    text(first_bytes(bytes, 3)?).map(Value::String)
}

fn raw_json(bytes: &[u8]) -> Result<Option<Value>, String> {
    let raw = first_bytes(bytes, 1)?;
    if raw.is_empty() {
        return Ok(None);
    }
    json::decode(raw).map(|d| Some(d.object))
}

/// `JSONSchemaPropsOr…`: a schema, a bool, or a list of schemas or of texts.
fn schema_or(field: &Field, index: usize, bytes: &[u8], depth: usize) -> Result<Value, String> {
    let mut out = Value::Bool(false);
    let mut items = Vec::new();
    for part in Reader::new(bytes) {
        match part? {
            (1, Wire::Varint(n)) => out = Value::Bool(n != 0),
            (2, Wire::Bytes(b)) if field.name == "dependencies" => items.push(text(b)?.into()),
            (tag, Wire::Bytes(b)) => {
                let Some(inner) = schema::table().get(index) else { continue };
                let schema = Value::Object(message(inner, b, depth + 1)?);
                // A list's items and a bool's alternative both have the second tag.
                match (field.name, tag) {
                    ("items", 2) => items.push(schema),
                    _ => out = schema,
                }
            }
            _ => {}
        }
    }
    Ok(if items.is_empty() { out } else { Value::Array(items) })
}

fn strings(bytes: &[u8]) -> Result<Value, String> {
    let mut out = Vec::new();
    for field in Reader::new(bytes) {
        if let (1, Wire::Bytes(b)) = field? {
            out.push(Value::String(text(b)?));
        }
    }
    Ok(Value::Array(out))
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;
