//! The stored form of an object: JSON that begins with [`PREFIX`], without `apiVersion`, `kind`
//! (the key says them) and `metadata.resourceVersion` (the record says it). Readers splice these in
//! by copying bytes, so nothing is decoded to be read.
//!
//! `metadata.managedFields`, if there are any, come first, so that those who read an object decoded
//! can leave them out: they are often larger than the rest, and only writes look at them.

use std::borrow::Cow;

use bytes::Bytes;
use kabuki_api::kind::Kind;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What every stored value begins with.
pub(crate) const PREFIX: &[u8] = b"{\"metadata\":{";
/// What follows it in objects whose fields have owners.
const MANAGED: &[u8] = b"\"managedFields\":";

/// Encodes an object to its stored form: metadata first, the rest in the order of the map.
/// `managed` is the JSON of `metadata.managedFields`; the object's own are left out.
pub(crate) fn encode(object: &Value, managed: Option<&str>) -> Bytes {
    let empty = Map::new();
    let map = object.as_object().unwrap_or(&empty);
    let mut out = Vec::with_capacity(512 + managed.map_or(0, str::len));
    out.extend_from_slice(PREFIX);
    let metadata = map.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let mut first = true;
    if let Some(managed) = managed {
        out.extend_from_slice(MANAGED);
        out.extend_from_slice(managed.as_bytes());
        first = false;
    }
    for (name, value) in metadata {
        if name != "resourceVersion" && name != "managedFields" {
            write_member(&mut out, &mut first, name, value);
        }
    }
    out.push(b'}');
    first = false;
    for (name, value) in map {
        if !matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            write_member(&mut out, &mut first, name, value);
        }
    }
    out.push(b'}');
    out.shrink_to_fit();
    out.into()
}

fn write_member(out: &mut Vec<u8>, first: &mut bool, name: &str, value: &Value) {
    if !*first {
        out.push(b',');
    }
    *first = false;
    // Writing a `str` or a `Value` into a `Vec` cannot fail: keys are strings, I/O is memory.
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
    let _ = serde_json::to_writer(&mut *out, value);
}

/// Appends `"kind":"…","apiVersion":"…"`.
pub(crate) fn write_type(out: &mut Vec<u8>, kind: &Kind) {
    out.extend_from_slice(b"\"kind\":\"");
    out.extend_from_slice(kind.kind.as_bytes());
    out.extend_from_slice(b"\",\"apiVersion\":\"");
    if !kind.group.is_empty() {
        out.extend_from_slice(kind.group.as_bytes());
        out.push(b'/');
    }
    out.extend_from_slice(kind.version.as_bytes());
    out.push(b'"');
}

/// The JSON of `metadata.managedFields` of a stored value.
pub(crate) fn managed(stored: &[u8]) -> Option<&str> {
    let rest = stored.strip_prefix(PREFIX)?.strip_prefix(MANAGED)?;
    std::str::from_utf8(rest.get(..array_length(rest)?)?).ok()
}

/// A stored value without `metadata.managedFields`.
pub(crate) fn without_managed(stored: &[u8]) -> Cow<'_, [u8]> {
    let Some(managed) = managed(stored) else { return Cow::Borrowed(stored) };
    let rest = stored.get(PREFIX.len() + MANAGED.len() + managed.len()..).unwrap_or_default();
    let mut out = Vec::with_capacity(PREFIX.len() + rest.len());
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(rest.strip_prefix(b",").unwrap_or(rest));
    Cow::Owned(out)
}

/// Bytes of the JSON array that `json` begins with.
fn array_length(json: &[u8]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Only the metadata of a stored value, without `managedFields`.
pub(crate) fn metadata(stored: &[u8]) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Partial {
        metadata: Map<String, Value>,
    }
    let stored = without_managed(stored);
    serde_json::from_slice::<Partial>(&stored).map(|p| p.metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_form_begins_with_metadata_and_holds_no_version() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "x", "resourceVersion": "7"}});
        let plain = br#"{"metadata":{"name":"x"},"data":{"a":"b"}}"#;
        assert_eq!(&encode(&object, None)[..], plain);
        assert_eq!(metadata(&encode(&object, None))["name"], "x");
        assert_eq!(managed(plain), None);
    }

    #[test]
    fn owners_come_first_and_can_be_left_out() {
        let owners = r#"[{"fieldsV1":{"k:{\"a\":\"]\\\\\"}":{}}},{}]"#;
        for (object, plain) in [
            (json!({"metadata": {"name": "x"}}), r#"{"metadata":{"name":"x"}}"#),
            (json!({"metadata": {}, "data": {}}), r#"{"metadata":{},"data":{}}"#),
        ] {
            let stored = encode(&object, Some(owners));
            assert!(serde_json::from_slice::<Value>(&stored).is_ok());
            assert_eq!(managed(&stored), Some(owners));
            assert_eq!(&*without_managed(&stored), plain.as_bytes());
            assert!(!metadata(&stored).contains_key("managedFields"));
        }
        assert_eq!(managed(br#"{"metadata":{"managedFields":[{"#), None);
    }
}
