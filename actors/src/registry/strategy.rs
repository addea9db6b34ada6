//! What happens to an object between the request and the store, as pure functions: which fields a
//! client may set, what the server sets, when the generation rises. Follows upstream's
//! `registry/rest/{create,update}.go` and the strategies of `pkg/registry`.

use kabuki_api::{
    defaults,
    kind::{CLUSTER_ROLE_BINDING, DEPLOYMENT, Kind, NAMESPACE, POD, ROLE_BINDING},
    schema,
    status::Status,
    validate::FieldError,
};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

use super::{
    object::text,
    options::{FieldValidation, RequestInfo, Subresource},
};

/// Metadata only the server writes.
const SYSTEM_METADATA: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
];
/// Metadata that is left out when empty, as Go's encoder does, so that a client that decodes and
/// encodes an object changes nothing.
const OMIT_EMPTY: &[&str] =
    &["labels", "annotations", "finalizers", "ownerReferences", "generateName", "selfLink"];
/// Longest `Warning` list of one answer.
const WARNINGS_MAX: usize = 32;

/// A time as the API writes it: UTC, whole seconds.
pub(crate) fn stamp(time: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

/// Checks a body against its kind and the schema: type, unknown and duplicate fields.
pub(super) fn accept(
    info: &RequestInfo,
    kind: &'static Kind,
    object: &mut Value,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the body of the request is not an object"));
    };
    check_type(kind, map)?;
    if !map.get("metadata").is_some_and(Value::is_object) {
        map.insert("metadata".into(), json!({}));
    }
    if kind.custom.is_some() {
        return accept_custom(info, kind, object, warnings);
    }
    drop_nulls(object);
    if info.field_validation != FieldValidation::Ignore {
        let unknown = schema::unknown_fields(kind, object);
        if !unknown.is_empty() || !info.duplicates.is_empty() {
            if info.field_validation == FieldValidation::Strict {
                return Err(Status::strict_decoding(kind, &unknown, &info.duplicates));
            }
            let texts = info.duplicates.warnings(&unknown);
            warnings.extend(texts.into_iter().take(WARNINGS_MAX));
        }
    }
    schema::check_types(kind, object)?;
    schema::prune(kind, object);
    tidy_metadata(object);
    Ok(())
}

/// [`accept`] by the schema of a definition. A null may mean something there, so that only those of
/// the metadata are dropped.
fn accept_custom(
    info: &RequestInfo,
    kind: &'static Kind,
    object: &mut Value,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    // The definition may have gone since the request was routed.
    let served = kind.served().ok_or_else(Status::unknown_resource)?;
    drop_nulls(&mut object["metadata"]);
    let unknown = served.accept(kind, object)?;
    if !unknown.is_empty() || !info.duplicates.is_empty() {
        match info.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Strict => {
                return Err(Status::strict_decoding(kind, &unknown, &info.duplicates));
            }
            FieldValidation::Warn => {
                let texts = info.duplicates.warnings(&unknown);
                warnings.extend(texts.into_iter().take(WARNINGS_MAX));
            }
        }
    }
    tidy_metadata(object);
    Ok(())
}

fn check_type(kind: &Kind, map: &mut Map<String, Value>) -> Result<(), Status> {
    let api_version = kind.api_version();
    let given = map.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() && given != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({api_version})"
        )));
    }
    let given = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !given.is_empty() && given != kind.kind {
        return Err(Status::bad_request(format!(
            "{given} in version {:?} cannot be handled as a {}: the kind does not match the resource",
            kind.version, kind.kind
        )));
    }
    map.insert("apiVersion".into(), api_version.into());
    map.insert("kind".into(), kind.kind.into());
    Ok(())
}

/// Removes null members at any depth: to a Go server they are absent.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn tidy_metadata(object: &mut Value) {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    // Owners of fields are kept beside the object; what a client said of them was taken before.
    meta.remove("managedFields");
    meta.retain(|name, value| {
        !OMIT_EMPTY.contains(&name.as_str())
            || match value {
                Value::Object(map) => !map.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::String(s) => !s.is_empty(),
                _ => true,
            }
    });
}

/// Makes name and namespace agree with the URL. `name` is `None` for a create.
pub(super) fn address(
    kind: &Kind,
    ns: &str,
    name: Option<&str>,
    object: &mut Value,
) -> Result<(), Status> {
    let meta = &mut object["metadata"];
    if kind.namespaced {
        let given = text(meta, "namespace");
        if !given.is_empty() && given != ns {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        meta["namespace"] = ns.into();
    } else if let Some(map) = meta.as_object_mut() {
        map.remove("namespace");
    }
    let Some(name) = name else { return Ok(()) };
    let given = text(meta, "name");
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    meta["name"] = name.into();
    Ok(())
}

/// Prepares a new object: system metadata, status, generation. Defaults are applied here.
pub(super) fn before_create(
    kind: &'static Kind,
    object: &mut Value,
    now: OffsetDateTime,
) -> Result<(), Status> {
    if !text(&object["metadata"], "resourceVersion").is_empty() {
        return Err(Status::failure(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        for field in SYSTEM_METADATA {
            meta.remove(*field);
        }
        // From this thread's generator: asking the kernel would be a system call per object.
        let uid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        meta.insert("uid".into(), uid.to_string().into());
        meta.insert("creationTimestamp".into(), stamp(now).into());
        if kind.generation {
            meta.insert("generation".into(), 1.into());
        }
    }
    if kind == NAMESPACE {
        let finalizers = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            let mut finalizers = finalizers;
            finalizers.push("kubernetes".into());
            object["spec"]["finalizers"] = finalizers.into();
        }
    }
    check_defaults(kind, object)?;
    defaults::apply(kind, object);
    defaults::initial_status(kind, object);
    Ok(())
}

/// Prepares a changed object: what the server owns comes from `old`, the part the endpoint does not
/// write too, and the generation rises when the rest changed. Defaults are applied here.
pub(super) fn before_update(
    kind: &'static Kind,
    old: &Value,
    new: &mut Value,
    sub: Subresource,
) -> Result<(), Status> {
    if let (Some(meta), Some(had)) = (new["metadata"].as_object_mut(), old["metadata"].as_object())
    {
        for field in SYSTEM_METADATA {
            restore(meta, had, field);
        }
        restore(meta, had, "generateName");
    }
    match sub {
        Subresource::Main => keep_for_main(kind, old, new),
        Subresource::Status | Subresource::Approval => keep_for_status(kind, old, new),
        Subresource::Binding => {}
        Subresource::Finalize => {
            let finalizers = new["spec"]["finalizers"].take();
            let meta = new["metadata"].take();
            *new = old.clone();
            new["metadata"] = meta;
            new["spec"]["finalizers"] = if finalizers.is_array() { finalizers } else { json!([]) };
        }
    }
    check_defaults(kind, new)?;
    defaults::apply(kind, new);
    if sub == Subresource::Main {
        (kind.prepare_change)(old, new);
    }
    check_finalizers(kind, old, new)?;
    if kind.generation && sub == Subresource::Main && spec_changed(kind, old, new) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = (generation + 1).into();
    }
    Ok(())
}

/// Sets the defaults of a custom resource, of which there may be too many.
fn check_defaults(kind: &'static Kind, object: &mut Value) -> Result<(), Status> {
    let Some(served) = kind.served() else { return Ok(()) };
    served
        .schema
        .apply_defaults(object)
        .map_err(|error| Status::invalid(kind, text(&object["metadata"], "name"), &[error]))
}

fn restore(meta: &mut Map<String, Value>, had: &Map<String, Value>, field: &str) {
    match had.get(field) {
        Some(value) => {
            meta.insert(field.to_owned(), value.clone());
        }
        None => {
            meta.remove(field);
        }
    }
}

fn copy_top(old: &Value, new: &mut Value, field: &str) {
    if let Some(map) = new.as_object_mut() {
        match old.get(field) {
            Some(value) => {
                map.insert(field.to_owned(), value.clone());
            }
            None => {
                map.remove(field);
            }
        }
    }
}

fn keep_for_main(kind: &Kind, old: &Value, new: &mut Value) {
    if kind.has_status() {
        copy_top(old, new, "status");
    }
    if kind == NAMESPACE {
        new["spec"]["finalizers"] = old["spec"]["finalizers"].clone();
        drop_nulls(&mut new["spec"]);
    }
}

fn keep_for_status(kind: &Kind, old: &Value, new: &mut Value) {
    let fields: Vec<String> = [old, &*new]
        .iter()
        .filter_map(|v| v.as_object())
        .flat_map(|m| m.keys().cloned())
        .filter(|f| !matches!(f.as_str(), "metadata" | "status" | "kind" | "apiVersion"))
        .collect();
    for field in fields {
        copy_top(old, new, &field);
    }
    if kind.custom.is_some() {
        new["metadata"] = old["metadata"].clone();
        return;
    }
    let kept: &[&str] = if kind == POD {
        &["ownerReferences"]
    } else if kind == DEPLOYMENT {
        &["labels"]
    } else {
        &[]
    };
    if let (Some(meta), Some(had)) = (new["metadata"].as_object_mut(), old["metadata"].as_object())
    {
        for field in kept {
            restore(meta, had, field);
        }
    }
    if kind == POD && !old["status"]["qosClass"].is_null() {
        new["status"]["qosClass"] = old["status"]["qosClass"].clone();
    }
}

/// Whether anything but metadata and status differs. Without an endpoint of its own, the status of
/// a custom kind is a field like any other.
fn spec_changed(kind: &Kind, old: &Value, new: &Value) -> bool {
    let status_counts = kind.custom.is_some() && !kind.has_status();
    let rest = |value: &Value, field: &str| {
        matches!(field, "metadata" | "kind" | "apiVersion")
            || (field == "status" && !status_counts)
            || value.get(field).is_none()
    };
    let differs = |a: &Value, b: &Value| {
        a.as_object().is_some_and(|m| m.iter().any(|(f, v)| !rest(a, f) && b.get(f) != Some(v)))
    };
    differs(old, new) || differs(new, old)
}

/// While an object is being deleted, finalizers may only go.
fn check_finalizers(kind: &Kind, old: &Value, new: &Value) -> Result<(), Status> {
    if old["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let had = strings(&old["metadata"]["finalizers"]);
    let added: Vec<_> =
        strings(&new["metadata"]["finalizers"]).into_iter().filter(|f| !had.contains(f)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let list = added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ");
    let error = FieldError::forbidden(
        "metadata.finalizers",
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
        ),
    );
    Err(Status::invalid(kind, text(&new["metadata"], "name"), &[error]))
}

/// Whether nothing keeps an object that is being deleted: no finalizers, no grace period left.
pub(super) fn is_released(kind: &Kind, object: &Value) -> bool {
    let meta = &object["metadata"];
    let namespace_held = kind == NAMESPACE && !strings(&object["spec"]["finalizers"]).is_empty();
    meta["deletionTimestamp"].is_string()
        && strings(&meta["finalizers"]).is_empty()
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && !namespace_held
}

/// `roleRef` of bindings cannot be changed.
pub(super) fn changes_role_ref(kind: &Kind, old: &Value, new: &Value) -> bool {
    (kind == ROLE_BINDING || kind == CLUSTER_ROLE_BINDING) && old["roleRef"] != new["roleRef"]
}

/// The strings of an array.
pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|a| a.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}
