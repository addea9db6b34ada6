//! Persistent volumes and claims to them (k8s pkg/apis/core/validation/validation.go).

use serde_json::{Map, Value};

use super::{
    FieldError,
    check::{
        Errors, each, immutable, items, label_selector, one_of, optional_one_of, required, text,
    },
};
use crate::{name, quantity::Quantity};

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const ALONE: &str = "ReadWriteOncePod";
const CLAIM_FIXED: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
/// Fields of a volume's spec that are no source.
const NO_SOURCE: &[&str] = &[
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

fn access_modes(out: &mut Errors, spec: &Value) {
    let modes = items(spec, "accessModes");
    if modes.is_empty() {
        let detail = "at least 1 access mode is required";
        out.push(FieldError::required("spec.accessModes", detail));
    }
    for mode in modes {
        one_of(out, "spec.accessModes".into(), mode, MODES);
    }
    if modes.len() > 1 && modes.iter().any(|m| m == ALONE) {
        out.push(FieldError::forbidden(
            "spec.accessModes",
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
}

fn class(out: &mut Errors, spec: &Value) {
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let own = text(spec, field);
        if !own.is_empty() {
            each(out, &format!("spec.{field}"), &spec[field], name::dns1123_subdomain(own));
        }
    }
    optional_one_of(out, "spec.volumeMode".into(), &spec["volumeMode"], &["Block", "Filesystem"]);
}

fn positive(out: &mut Errors, path: &str, value: &Value) {
    let quantity = value.as_str().and_then(|s| Quantity::parse(s).ok());
    if quantity.is_none_or(|q| q.is_zero() || q.is_negative()) {
        out.push(FieldError::invalid(path, value.clone(), "must be greater than zero"));
    }
}

pub(crate) fn claim(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    access_modes(out, spec);
    if !spec["selector"].is_null() {
        label_selector(out, "spec.selector", &spec["selector"]);
    }
    match spec["resources"]["requests"].get("storage") {
        None => out.push(FieldError::required("spec.resources[storage]", "")),
        Some(storage) => positive(out, "spec.resources[storage]", storage),
    }
    class(out, spec);
    for field in ["dataSource", "dataSourceRef"] {
        let source = &spec[field];
        if source.is_null() {
            continue;
        }
        for part in ["name", "kind"] {
            required(out, format!("spec.{field}.{part}"), &source[part]);
        }
        if text(source, "apiGroup").is_empty() && text(source, "kind") != "PersistentVolumeClaim" {
            out.push(FieldError::invalid(
                format!("spec.{field}"),
                text(source, "kind"),
                "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ));
        }
    }
}

pub(crate) fn claim_change(out: &mut Errors, new: &Value, old: &Value) {
    let bound = new["status"]["phase"] == "Bound";
    let fixed = |object: &Value| {
        let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
        // A volume is chosen once; a class may be given to a claim that was made without.
        if text(&old["spec"], "volumeName").is_empty() {
            spec.remove("volumeName");
        }
        if old["spec"]["storageClassName"].is_null() && !bound {
            spec.remove("storageClassName");
        }
        spec.remove("volumeAttributesClassName");
        if let (true, Some(Value::Object(requests))) =
            (bound, spec.get_mut("resources").and_then(|r| r.get_mut("requests")))
        {
            requests.remove("storage");
        }
        spec
    };
    if fixed(new) != fixed(old) {
        out.push(FieldError::forbidden("spec", CLAIM_FIXED));
    }
    let storage = |value: &Value| value.as_str().and_then(|s| Quantity::parse(s).ok());
    let size = |object: &Value| storage(&object["spec"]["resources"]["requests"]["storage"]);
    let capacity = storage(&old["status"]["capacity"]["storage"]).unwrap_or(Quantity::ZERO);
    if let (true, Some(now), Some(before)) = (bound, size(new), size(old))
        && now < before
        && now <= capacity
    {
        out.push(FieldError::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
}

pub(crate) fn volume(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    access_modes(out, spec);
    let empty = Map::new();
    let capacity = spec["capacity"].as_object().unwrap_or(&empty);
    if capacity.is_empty() {
        out.push(FieldError::required("spec.capacity", ""));
    } else if capacity.len() > 1 || !capacity.contains_key("storage") {
        let shown = spec["capacity"].to_string();
        out.push(FieldError::not_supported("spec.capacity", shown, &["storage"]));
    }
    for (resource, value) in capacity {
        positive(out, &format!("spec.capacity[{resource}]"), value);
    }
    let policy = &spec["persistentVolumeReclaimPolicy"];
    let policies = &["Delete", "Recycle", "Retain"];
    optional_one_of(out, "spec.persistentVolumeReclaimPolicy".into(), policy, policies);
    class(out, spec);
    let sources = sources(spec);
    match sources.len() {
        0 => out.push(FieldError::required("spec", "must specify a volume type")),
        1 => source(out, spec),
        _ => {
            for (field, _) in &sources[1..] {
                out.push(FieldError::forbidden(
                    format!("spec.{field}"),
                    "may not specify more than 1 volume type",
                ));
            }
        }
    }
}

fn sources(spec: &Value) -> Vec<(&String, &Value)> {
    spec.as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| !NO_SOURCE.contains(&field.as_str()) && !value.is_null())
        .collect()
}

/// The sources most used; of the others only that there is one.
fn source(out: &mut Errors, spec: &Value) {
    let host = &spec["hostPath"];
    if !host.is_null() {
        required(out, "spec.hostPath.path".into(), &host["path"]);
        if host["path"] == "/" && spec["persistentVolumeReclaimPolicy"] == "Recycle" {
            out.push(FieldError::forbidden(
                "spec.persistentVolumeReclaimPolicy",
                "may not be 'recycle' for a hostPath mount of '/'",
            ));
        }
    }
    for (source, fields) in [
        ("nfs", &["server", "path"] as &[&str]),
        ("local", &["path"]),
        ("csi", &["driver", "volumeHandle"]),
        ("fc", &[]),
        ("iscsi", &["targetPortal", "iqn"]),
    ] {
        let value = &spec[source];
        if !value.is_null() {
            for field in fields {
                required(out, format!("spec.{source}.{field}"), &value[*field]);
            }
        }
    }
    let path = text(&spec["nfs"], "path");
    if !path.is_empty() && !path.starts_with('/') {
        out.push(FieldError::invalid("spec.nfs.path", path, "must be an absolute path"));
    }
    if !spec["local"].is_null() && spec["nodeAffinity"].is_null() {
        out.push(FieldError::required("spec.nodeAffinity", "Local volume requires node affinity"));
    }
}

pub(crate) fn volume_change(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    if sources(new) != sources(old) {
        out.push(FieldError::forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    immutable(out, "spec.volumeMode", &new["volumeMode"], &old["volumeMode"]);
    if !old["nodeAffinity"].is_null() {
        immutable(out, "spec.nodeAffinity", &new["nodeAffinity"], &old["nodeAffinity"]);
    }
}
