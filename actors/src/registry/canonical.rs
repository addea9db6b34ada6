//! The stored form of an object: JSON that begins with [`PREFIX`], without `apiVersion`, `kind`
//! (the key says them) and `metadata.resourceVersion` (the record says it). Readers splice these in
//! by copying bytes, so nothing is decoded to be read.

use bytes::Bytes;
use kabuki_api::kind::Kind;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What every stored value begins with.
pub(crate) const PREFIX: &[u8] = b"{\"metadata\":{";

/// Encodes an object to its stored form: metadata first, the rest in the order of the map.
pub(crate) fn encode(object: &Value) -> Bytes {
    let empty = Map::new();
    let map = object.as_object().unwrap_or(&empty);
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(PREFIX);
    let metadata = map.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let mut first = true;
    for (name, value) in metadata {
        if name != "resourceVersion" {
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

/// Only the metadata of a stored value.
pub(crate) fn metadata(stored: &[u8]) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Partial {
        metadata: Map<String, Value>,
    }
    serde_json::from_slice::<Partial>(stored).map(|p| p.metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_form_begins_with_metadata_and_holds_no_version() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "x", "resourceVersion": "7"}});
        assert_eq!(&encode(&object)[..], br#"{"metadata":{"name":"x"},"data":{"a":"b"}}"#);
        assert_eq!(metadata(&encode(&object))["name"], "x");
    }
}
