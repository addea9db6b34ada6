//! Volumes of pods.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, items, optional_one_of, required, required_name, text},
    container::{PULL_POLICIES, descending, key_paths, mode, no_backsteps},
    environment::field_ref,
};
use crate::{name, quantity::Quantity};

/// Shortest lifetime of a projected token, seconds.
const MIN_TOKEN_SECONDS: i64 = 600;
/// Pod fields a volume can show.
const FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const HOST_PATH_TYPES: &[&str] = &[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks all volumes and answers their names.
pub(super) fn volumes<'a>(out: &mut Errors, path: &str, spec: &'a Value) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (i, volume) in items(spec, "volumes").iter().enumerate() {
        let path = format!("{path}[{i}]");
        required_name(out, &format!("{path}.name"), &volume["name"], name::dns1123_label);
        let own = text(volume, "name");
        if !own.is_empty() && !names.insert(own) {
            out.push(FieldError::duplicate(format!("{path}.name"), own));
        }
        source(out, &path, volume);
    }
    names
}

fn source(out: &mut Errors, path: &str, volume: &Value) {
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| *key != "name" && !value.is_null())
        .map(|(key, _)| key)
        .collect();
    if sources.is_empty() {
        out.push(FieldError::required(path, "must specify a volume type"));
    }
    for (i, name) in sources.iter().enumerate() {
        let path = format!("{path}.{name}");
        if i > 0 {
            out.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
        } else {
            one(out, &path, name, &volume[name.as_str()]);
        }
    }
}

fn one(out: &mut Errors, path: &str, name: &str, source: &Value) {
    match name {
        "hostPath" => {
            required(out, format!("{path}.path"), &source["path"]);
            no_backsteps(out, &format!("{path}.path"), text(source, "path"));
            let kind = text(source, "type");
            if !HOST_PATH_TYPES.contains(&kind) {
                let path = format!("{path}.type");
                out.push(FieldError::not_supported(path, kind, HOST_PATH_TYPES));
            }
        }
        "emptyDir" => {
            let limit = source["sizeLimit"].as_str().and_then(|s| Quantity::parse(s).ok());
            if limit.is_some_and(|q| q.is_negative()) {
                let detail = "SizeLimit field must be a valid resource quantity";
                out.push(FieldError::forbidden(format!("{path}.sizeLimit"), detail));
            }
        }
        "secret" => {
            required(out, format!("{path}.secretName"), &source["secretName"]);
            mode(out, format!("{path}.defaultMode"), &source["defaultMode"]);
            key_paths(out, path, source);
        }
        "configMap" => {
            required(out, format!("{path}.name"), &source["name"]);
            mode(out, format!("{path}.defaultMode"), &source["defaultMode"]);
            key_paths(out, path, source);
        }
        "downwardAPI" => {
            mode(out, format!("{path}.defaultMode"), &source["defaultMode"]);
            downward(out, path, source);
        }
        "projected" => {
            mode(out, format!("{path}.defaultMode"), &source["defaultMode"]);
            projected(out, path, source);
        }
        "persistentVolumeClaim" => {
            required(out, format!("{path}.claimName"), &source["claimName"]);
        }
        "nfs" => {
            required(out, format!("{path}.server"), &source["server"]);
            required(out, format!("{path}.path"), &source["path"]);
        }
        "csi" => required(out, format!("{path}.driver"), &source["driver"]),
        "image" => {
            required(out, format!("{path}.reference"), &source["reference"]);
            let policy = &source["pullPolicy"];
            optional_one_of(out, format!("{path}.pullPolicy"), policy, PULL_POLICIES);
        }
        "ephemeral" if source["volumeClaimTemplate"].is_null() => {
            out.push(FieldError::required(format!("{path}.volumeClaimTemplate"), ""));
        }
        _ => {}
    }
}

fn downward(out: &mut Errors, path: &str, source: &Value) {
    for (i, item) in items(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{i}]");
        let target = text(item, "path");
        if target.is_empty() {
            out.push(FieldError::required(format!("{path}.path"), ""));
        }
        descending(out, &format!("{path}.path"), target);
        match (&item["fieldRef"], &item["resourceFieldRef"]) {
            (Value::Null, Value::Null) => out.push(FieldError::required(
                format!("{path}.fieldRef"),
                "one of fieldRef and resourceFieldRef is required",
            )),
            (field, Value::Null) => field_ref(out, &format!("{path}.fieldRef"), field, FIELDS),
            (Value::Null, resource) => {
                let container = format!("{path}.resourceFieldRef.containerName");
                required(out, container, &resource["containerName"]);
            }
            _ => out.push(FieldError::invalid(
                path.clone(),
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            )),
        }
        mode(out, format!("{path}.mode"), &item["mode"]);
    }
}

fn projected(out: &mut Errors, path: &str, source: &Value) {
    for (i, item) in items(source, "sources").iter().enumerate() {
        let path = format!("{path}.sources[{i}]");
        let mut found = 0;
        for (name, value) in item.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null()) {
            found += 1;
            let path = format!("{path}.{name}");
            if found > 1 {
                let detail = "may not specify more than 1 volume type";
                out.push(FieldError::forbidden(path, detail));
                continue;
            }
            match name.as_str() {
                "secret" | "configMap" => {
                    required(out, format!("{path}.name"), &value["name"]);
                    key_paths(out, &path, value);
                }
                "downwardAPI" => downward(out, &path, value),
                "serviceAccountToken" => token(out, &path, value),
                _ => {}
            }
        }
        if found == 0 {
            out.push(FieldError::required(path, "must specify a volume type"));
        }
    }
}

fn token(out: &mut Errors, path: &str, source: &Value) {
    let seconds = source["expirationSeconds"].as_i64().unwrap_or(0);
    let field = format!("{path}.expirationSeconds");
    if seconds < MIN_TOKEN_SECONDS {
        let detail = "may not specify a duration less than 10 minutes";
        out.push(FieldError::invalid(field, seconds, detail));
    } else if seconds > 1 << 32 {
        let detail = "may not specify a duration larger than 2^32 seconds";
        out.push(FieldError::invalid(field, seconds, detail));
    }
    let target = text(source, "path");
    if target.is_empty() {
        out.push(FieldError::required(format!("{path}.path"), ""));
    } else {
        descending(out, &format!("{path}.path"), target);
    }
}
