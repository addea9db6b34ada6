//! Object metadata.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, immutable, items, labels, text},
};
use crate::{
    kind::{Kind, NameRule},
    name,
};

/// All annotations of one object together, bytes.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

fn name_check(rule: NameRule) -> fn(&str) -> Vec<String> {
    match rule {
        NameRule::Subdomain => name::dns1123_subdomain,
        NameRule::Label => name::dns1123_label,
        NameRule::Dns1035Label => name::dns1035_label,
        NameRule::PathSegment => name::path_segment,
    }
}

pub(super) fn create(out: &mut Errors, kind: &Kind, object: &Value) {
    let metadata = &object["metadata"];
    let check = name_check(kind.name_rule);
    let base = text(metadata, "generateName");
    if !base.is_empty() {
        // A base may end in a dash: random characters follow.
        let masked = base.strip_suffix('-').map_or_else(|| base.to_owned(), |b| format!("{b}a"));
        let messages = check(&masked);
        each(out, "metadata.generateName", &base.into(), messages);
    }
    match text(metadata, "name") {
        "" => out.push(FieldError::required("metadata.name", "name or generateName is required")),
        own => each(out, "metadata.name", &own.into(), check(own)),
    }
    match (kind.namespaced, text(metadata, "namespace")) {
        (true, "") => out.push(FieldError::required("metadata.namespace", "")),
        (true, ns) => each(out, "metadata.namespace", &ns.into(), name::dns1123_label(ns)),
        (false, "") => {}
        (false, _) => {
            out.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
    }
    common(out, metadata);
}

pub(super) fn update(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["metadata"], &old["metadata"]);
    common(out, new);
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        immutable(out, &format!("metadata.{field}"), &new[field], &old[field]);
    }
    if old["deletionTimestamp"].is_string() {
        let before = items(old, "finalizers");
        let added: Vec<&str> = items(new, "finalizers")
            .iter()
            .filter(|f| !before.contains(f))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            out.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    crate::text::quoted_list(&added)
                ),
            ));
        }
    }
}

/// What is wrong with the metadata, at `path`, of an object inside another. It need not have a name.
pub(crate) fn embedded(metadata: &Value, path: &str) -> Vec<FieldError> {
    let mut out = Vec::new();
    let own = text(metadata, "name");
    each(&mut out, "metadata.name", &own.into(), name::path_segment(own));
    match text(metadata, "namespace") {
        "" => {}
        ns => each(&mut out, "metadata.namespace", &ns.into(), name::dns1123_label(ns)),
    }
    common(&mut out, metadata);
    for error in &mut out {
        error.path = error.path.replacen("metadata", path, 1);
    }
    out
}

fn common(out: &mut Errors, metadata: &Value) {
    labels(out, "metadata.labels", &metadata["labels"]);
    annotations(out, "metadata.annotations", &metadata["annotations"]);
    owners(out, metadata);
    let finalizers = items(metadata, "finalizers");
    for finalizer in finalizers {
        let messages = name::qualified_name(finalizer.as_str().unwrap_or(""));
        each(out, "metadata.finalizers", finalizer, messages);
    }
    let has = |name: &str| finalizers.iter().any(|f| f == name);
    if has("orphan") && has("foregroundDeletion") {
        out.push(FieldError::invalid(
            "metadata.finalizers",
            metadata["finalizers"].clone(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

pub(super) fn annotations(out: &mut Errors, path: &str, map: &Value) {
    let mut total = 0;
    for (key, value) in map.as_object().into_iter().flatten() {
        total += key.len() + value.as_str().map_or(0, str::len);
        // Keys may have upper case here, unlike labels' prefixes.
        let messages = name::qualified_name(&key.to_lowercase());
        each(out, path, &key.as_str().into(), messages);
    }
    if total > MAX_ANNOTATION_BYTES {
        out.push(FieldError::too_long(path, MAX_ANNOTATION_BYTES));
    }
}

fn owners(out: &mut Errors, metadata: &Value) {
    const PATH: &str = "metadata.ownerReferences";
    let mut controller: Option<&str> = None;
    for owner in items(metadata, "ownerReferences") {
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, field).is_empty() {
                out.push(FieldError::invalid(format!("{PATH}.{field}"), "", detail));
            }
        }
        if text(owner, "apiVersion") == "v1" && text(owner, "kind") == "Event" {
            out.push(FieldError::invalid(
                PATH,
                owner.clone(),
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if owner["controller"] == true {
            if let Some(first) = controller {
                out.push(FieldError::invalid(
                    PATH,
                    metadata["ownerReferences"].clone(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                        text(owner, "name")
                    ),
                ));
            } else {
                controller = Some(text(owner, "name"));
            }
        }
    }
}
