//! ConfigMaps and Secrets.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, entries, immutable, text},
};
use crate::name;

/// All values of one object together, bytes.
const MAX_BYTES: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub(crate) fn config_map(out: &mut Errors, object: &Value) {
    let mut total = 0;
    for (key, value) in entries(object, "data") {
        each(out, &format!("data[{key}]"), &key.as_str().into(), name::config_key(key));
        total += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "binaryData") {
        let path = format!("binaryData[{key}]");
        each(out, &path, &key.as_str().into(), name::config_key(key));
        if object["data"].get(key).is_some() {
            let detail = "duplicate of key present in data";
            out.push(FieldError::invalid(path, key.as_str(), detail));
        }
        total += decoded_length(value);
    }
    if total > MAX_BYTES {
        // The object as a whole: upstream's path without a name.
        out.push(FieldError::too_long("[]", MAX_BYTES));
    }
}

pub(crate) fn config_map_update(out: &mut Errors, new: &Value, old: &Value) {
    frozen(out, new, old, &["data", "binaryData"]);
}

/// Bytes of base64 text once decoded.
fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("").trim_end_matches('=');
    text.len() * 3 / 4
}

fn frozen(out: &mut Errors, new: &Value, old: &Value, fields: &[&str]) {
    if old["immutable"] != true {
        return;
    }
    if new["immutable"] != true {
        out.push(FieldError::forbidden("immutable", FROZEN));
    }
    for field in fields.iter().filter(|f| new[**f] != old[**f]) {
        out.push(FieldError::forbidden(*field, FROZEN));
    }
}

pub(crate) fn secret(out: &mut Errors, object: &Value) {
    let mut total = 0;
    for (key, value) in entries(object, "data") {
        each(out, &format!("data[{key}]"), &key.as_str().into(), name::config_key(key));
        total += decoded_length(value);
    }
    if total > MAX_BYTES {
        out.push(FieldError::too_long("data", MAX_BYTES));
    }
    let needs = |out: &mut Errors, key: &str| {
        if object["data"].get(key).is_none() {
            out.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            const KEY: &str = "kubernetes.io/service-account.name";
            let account = &object["metadata"]["annotations"][KEY];
            if account.as_str().unwrap_or("").is_empty() {
                let path = format!("metadata.annotations[{KEY}]");
                out.push(FieldError::required(path, ""));
            }
        }
        "kubernetes.io/dockercfg" => registry_login(out, object, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => registry_login(out, object, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" => {
            let has = |key: &str| object["data"].get(key).is_some();
            if !has("username") && !has("password") {
                needs(out, "username");
                needs(out, "password");
            }
        }
        "kubernetes.io/ssh-auth" => needs(out, "ssh-privatekey"),
        "kubernetes.io/tls" => {
            needs(out, "tls.crt");
            needs(out, "tls.key");
        }
        _ => {}
    }
}

fn registry_login(out: &mut Errors, object: &Value, key: &str) {
    use base64::Engine;
    let path = format!("data[{key}]");
    let Some(text) = object["data"].get(key).and_then(Value::as_str) else {
        out.push(FieldError::required(path, ""));
        return;
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        let hidden = "<secret contents redacted>";
        out.push(FieldError::invalid(path, hidden, error.to_string()));
    }
}

pub(crate) fn secret_update(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "type", &new["type"], &old["type"]);
    frozen(out, new, old, &["data"]);
}
