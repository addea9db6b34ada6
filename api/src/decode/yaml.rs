//! YAML bodies. serde_yaml turns the whole document into events before it hands out values, so
//! their number is bounded from the text first; aliases are bounded while values are built.

use serde_json::Value;

use super::{
    Decoded, json,
    tree::{Budget, Tree},
};
use crate::{
    kind::Kind,
    schema::{self, Message, Shape, Type},
};

/// Most characters that can begin a YAML node; bounds events (about 150 bytes each) and the
/// scanner's work per nesting level.
const MAX_STRUCTURE: usize = 300_000;
/// Most steps the scanner may take for nested flow collections: for every token it looks at every
/// collection that may be open, which is quadratic (1e9 are about two seconds).
const MAX_SCAN_STEPS: usize = 1_000_000_000;
/// Most values after aliases are expanded.
const MAX_VALUES: usize = 500_000;
/// Most bytes of text after aliases are expanded.
const MAX_TEXT_BYTES: usize = 2 * super::MAX_BODY_BYTES;

pub(super) fn decode(body: &[u8]) -> Result<Decoded, String> {
    // JSON is YAML, and reading it as what it is has tighter limits and better messages.
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
        && let Ok(decoded) = json::decode(body)
    {
        return Ok(decoded);
    }
    let structure = body
        .iter()
        .filter(|b| matches!(b, b'[' | b']' | b'{' | b'}' | b',' | b':' | b'-' | b'?' | b'\n'))
        .count();
    if structure > MAX_STRUCTURE || structure * unclosed(body) > MAX_SCAN_STEPS {
        return Err("yaml: the document is too complex; send it as JSON".to_owned());
    }
    let mut documents = serde_yaml::Deserializer::from_slice(body);
    let Some(document) = documents.next() else {
        return Err("yaml: the body is empty".to_owned());
    };
    let tree = Tree::new(Budget::new(MAX_VALUES, MAX_TEXT_BYTES));
    let object = tree.read(document).map_err(|e| format!("yaml: {e}"))?;
    let single = documents.all(|d| Tree::new(Budget::new(1, 0)).read(d).is_ok_and(|v| v.is_null()));
    if !single {
        return Err("yaml: the body must hold exactly one document".to_owned());
    }
    Ok(Decoded { object, duplicate_fields: tree.into_duplicates() })
}

/// An upper bound of how deep flow collections can nest. Openers count unless they are closed on
/// their own line and nothing on it (a quote, a comment) could make the closer a fake one.
fn unclosed(body: &[u8]) -> usize {
    let mut total = 0;
    for line in body.split(|b| *b == b'\n') {
        let doubtful = line.iter().any(|b| matches!(b, b'"' | b'\'' | b'#'));
        let (mut open, mut previous) = (0usize, b' ');
        for byte in line.iter().copied().filter(|b| *b != b' ') {
            match byte {
                b'[' | b'{' => open += 1,
                b']' if !doubtful || previous == b'[' => open = open.saturating_sub(1),
                b'}' if !doubtful || previous == b'{' => open = open.saturating_sub(1),
                _ => {}
            }
            previous = byte;
        }
        total += open;
    }
    total
}

/// Numbers such as `0644` are octal in the YAML that Kubernetes reads, and text in YAML 1.2: where
/// the kind wants a number, they become one.
pub(super) fn resolve_octals(kind: &Kind, object: &mut Value) {
    if let Some(message) = schema::table().of(kind) {
        walk(message, object);
    }
}

fn walk(message: &Message, value: &mut Value) {
    let Value::Object(map) = value else { return };
    for (key, value) in map.iter_mut() {
        let Some(field) = message.field(key) else { continue };
        match (field.ty, field.shape) {
            (Type::Int32 | Type::Int64, Shape::One | Shape::Pointer) => octal(value),
            (Type::Message(index), shape) => {
                let Some(inner) = schema::table().get(index) else { continue };
                match (shape, value) {
                    (Shape::List, Value::Array(items)) => {
                        items.iter_mut().for_each(|v| walk(inner, v));
                    }
                    (Shape::Map, Value::Object(map)) => {
                        map.values_mut().for_each(|v| walk(inner, v));
                    }
                    (Shape::One | Shape::Pointer, value) => walk(inner, value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn octal(value: &mut Value) {
    if let Value::String(text) = value
        && let Some(digits) = text.strip_prefix('0')
        && let Ok(number) = i64::from_str_radix(digits.strip_prefix('o').unwrap_or(digits), 8)
        && number >= 0
    {
        *value = number.into();
    }
}
