//! Reading the common parts of an object held as `serde_json::Value`.

use serde_json::Value;

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or("")
}

/// `metadata.name`, empty if absent.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`, empty if absent.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`, empty if absent.
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, empty if absent.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.creationTimestamp` (RFC 3339), empty if absent.
pub fn creation_timestamp(object: &Value) -> &str {
    text(object, "creationTimestamp")
}

/// `metadata.deletionTimestamp` (RFC 3339), if the object is being deleted.
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    object["metadata"]["deletionTimestamp"].as_str()
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    deletion_timestamp(object).is_some()
}

/// `metadata.generation`, 0 if absent.
pub fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// `metadata.labels`, `Null` if absent.
pub fn labels(object: &Value) -> &Value {
    &object["metadata"]["labels"]
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object).get(key)?.as_str()
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    list(&object["metadata"]["finalizers"]).iter().filter_map(Value::as_str)
}

/// `metadata.ownerReferences`.
pub fn owner_references(object: &Value) -> &[Value] {
    list(&object["metadata"]["ownerReferences"])
}

/// The owner reference with `controller: true`.
pub fn controller_of(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|r| r["controller"] == true)
}

/// A list, empty if the value is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
