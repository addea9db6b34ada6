//! Environment variables of containers.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, items, required, required_name, text},
};
use crate::name;

/// Pod fields a variable can show, and two maps of which it can show one entry.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const SOURCES: &[&str] =
    &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub(super) fn environment(out: &mut Errors, path: &str, container: &Value) {
    for (i, variable) in items(container, "env").iter().enumerate() {
        let path = format!("{path}.env[{i}]");
        required_name(out, &format!("{path}.name"), &variable["name"], name::env_var);
        let from = &variable["valueFrom"];
        if from.is_null() {
            continue;
        }
        let path = format!("{path}.valueFrom");
        let found = SOURCES.iter().filter(|s| !from[**s].is_null()).count();
        let detail = match found {
            0 => {
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            }
            _ if !text(variable, "value").is_empty() => {
                "may not be specified when `value` is not empty"
            }
            1 => "",
            _ => "may not have more than one field specified at a time",
        };
        if !detail.is_empty() {
            out.push(FieldError::invalid(path.clone(), "", detail));
        }
        if !from["fieldRef"].is_null() {
            field_ref(out, &format!("{path}.fieldRef"), &from["fieldRef"], FIELDS);
        }
        if !from["resourceFieldRef"].is_null() {
            let path = format!("{path}.resourceFieldRef.resource");
            required(out, path, &from["resourceFieldRef"]["resource"]);
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let selector = &from[source];
            if !selector.is_null() {
                let path = format!("{path}.{source}");
                required(out, format!("{path}.name"), &selector["name"]);
                let key = format!("{path}.key");
                required_name(out, &key, &selector["key"], name::config_key);
            }
        }
    }
    for (i, source) in items(container, "envFrom").iter().enumerate() {
        env_from(out, &format!("{path}.envFrom[{i}]"), source);
    }
}

fn env_from(out: &mut Errors, path: &str, source: &Value) {
    let prefix = text(source, "prefix");
    if !prefix.is_empty() {
        each(out, &format!("{path}.prefix"), &source["prefix"], name::env_var(prefix));
    }
    let mut found = 0;
    for reference in ["configMapRef", "secretRef"] {
        let item = &source[reference];
        if !item.is_null() {
            found += 1;
            required_name(
                out,
                &format!("{path}.{reference}.name"),
                &item["name"],
                name::dns1123_subdomain,
            );
        }
    }
    match found {
        0 => out.push(FieldError::invalid(
            path,
            "",
            "must specify one of: `configMapRef` or `secretRef`",
        )),
        1 => {}
        _ => out.push(FieldError::invalid(
            path,
            "",
            "may not have more than one field specified at a time",
        )),
    }
}

/// A reference to a field of the pod.
pub(super) fn field_ref(out: &mut Errors, path: &str, reference: &Value, allowed: &[&str]) {
    required(out, format!("{path}.apiVersion"), &reference["apiVersion"]);
    let field = text(reference, "fieldPath");
    if field.is_empty() {
        out.push(FieldError::required(format!("{path}.fieldPath"), ""));
        return;
    }
    let entry = ["metadata.labels['", "metadata.annotations['"]
        .iter()
        .find_map(|p| field.strip_prefix(p))
        .and_then(|rest| rest.strip_suffix("']"));
    match entry {
        Some(key) => {
            let messages = name::qualified_name(&key.to_lowercase());
            each(out, path, &key.into(), messages);
        }
        None if allowed.contains(&field) => {}
        None => {
            out.push(FieldError::not_supported(format!("{path}.fieldPath"), field, allowed));
        }
    }
}
