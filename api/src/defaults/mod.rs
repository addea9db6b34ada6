//! Default values, as upstream's `SetDefaults_*` functions and create strategies set them. Applying
//! them twice changes nothing. What needs allocation (cluster IPs, node ports) is not here.

pub(crate) mod admission;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod flow;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod persistent;
pub(crate) mod pod;
pub(crate) mod policies;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod workload;

use base64::Engine;
use serde_json::{Map, Value, json};
pub use status::{initial_status, qos_class};

use crate::kind::Kind;

/// API group of the RBAC kinds.
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Sets every default of the kind. The object is pruned and its types are checked.
pub fn apply(kind: &Kind, object: &mut Value) {
    if let Some(served) = kind.served() {
        served.apply_defaults(object);
    }
    (kind.defaults)(object);
}

pub(crate) fn endpoints(object: &mut Value) {
    for subset in items(object, "/subsets") {
        for port in items(subset, "/ports") {
            set(port, "protocol", "TCP");
        }
    }
}

pub(crate) fn endpoint_slice(object: &mut Value) {
    for port in items(object, "/ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}

pub(crate) fn priority_class(object: &mut Value) {
    set(object, "preemptionPolicy", "PreemptLowerPriority");
}

pub(crate) fn token_request(object: &mut Value) {
    set(ensure(object, "spec"), "expirationSeconds", 3600);
}

/// Whether a field is absent or null.
fn absent(object: &Value, key: &str) -> bool {
    object.get(key).is_none_or(Value::is_null)
}

/// Sets a field that is absent; does nothing when the holder is no object.
fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if absent(object, key)
        && let Value::Object(map) = object
    {
        map.insert(key.to_owned(), value.into());
    }
}

/// Makes sure a field is there, an object if new. A holder that is no object comes back itself:
/// nothing can be set in it.
fn ensure<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    set(object, key, empty());
    if object.is_object() { &mut object[key] } else { object }
}

/// The items of the list at a JSON pointer; none if there is no list. (Indexing a `Value` for
/// writing would create what is not there.)
fn items<'a>(object: &'a mut Value, pointer: &str) -> &'a mut [Value] {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// [`set`] in the object at a JSON pointer, if there is one.
fn set_in(object: &mut Value, pointer: &str, key: &str, value: impl Into<Value>) {
    if let Some(holder) = object.pointer_mut(pointer) {
        set(holder, key, value);
    }
}

pub(crate) fn namespace(object: &mut Value) {
    let name = crate::meta::name(object).to_owned();
    if !name.is_empty() {
        let labels = ensure(ensure(object, "metadata"), "labels");
        if let Value::Object(labels) = labels {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
        }
    }
    // A namespace that is being finalised has none left, and must not get them back.
    if !crate::meta::is_deleting(object) {
        set(ensure(object, "spec"), "finalizers", json!(["kubernetes"]));
    }
    set(ensure(object, "status"), "phase", "Active");
}

/// `stringData` is a convenience of writers: it goes into `data`, encoded.
pub(crate) fn secret(object: &mut Value) {
    set(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|o| o.remove("stringData"))
    else {
        return;
    };
    let data = ensure(object, "data");
    if let Value::Object(data) = data {
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            data.insert(key, encoded.into());
        }
    }
}

pub(crate) fn node(object: &mut Value) {
    let Some(status) = object.get_mut("status") else { return };
    if absent(status, "allocatable") && !absent(status, "capacity") {
        let capacity = status["capacity"].clone();
        set(status, "allocatable", capacity);
    }
}

pub(crate) fn binding(object: &mut Value) {
    if let Some(role) = object.get_mut("roleRef").filter(|r| r.is_object())
        && role.get("apiGroup").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        role["apiGroup"] = RBAC_GROUP.into();
    }
    for subject in items(object, "/subjects") {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            set(subject, "apiGroup", RBAC_GROUP);
        }
    }
}

/// An empty object, for callers that build one.
fn empty() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests;
