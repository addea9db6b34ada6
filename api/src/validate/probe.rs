//! Probes and lifecycle hooks.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, items, not_negative, one_of, port, port_or_name, required},
};

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

pub(super) fn probe(out: &mut Errors, path: &str, probe: &Value) {
    handler(out, path, probe);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(out, format!("{path}.{field}"), &probe[field]);
    }
    let grace = &probe["terminationGracePeriodSeconds"];
    if grace.as_i64().is_some_and(|s| s <= 0) {
        let path = format!("{path}.terminationGracePeriodSeconds");
        out.push(FieldError::invalid(path, grace.clone(), "must be greater than 0"));
    }
}

/// Exactly one action, and it complete.
pub(super) fn handler(out: &mut Errors, path: &str, holder: &Value) {
    let mut found = 0;
    for name in HANDLERS.iter().filter(|name| !holder[**name].is_null()) {
        let action = &holder[*name];
        let path = format!("{path}.{name}");
        found += 1;
        if found > 1 {
            out.push(FieldError::forbidden(path, "may not specify more than 1 handler type"));
            continue;
        }
        match *name {
            "exec" => {
                if items(action, "command").is_empty() {
                    out.push(FieldError::required(format!("{path}.command"), ""));
                }
            }
            "httpGet" => {
                required(out, format!("{path}.path"), &action["path"]);
                port_or_name(out, format!("{path}.port"), &action["port"]);
                one_of(out, format!("{path}.scheme"), &action["scheme"], &["HTTP", "HTTPS"]);
                for (i, header) in items(action, "httpHeaders").iter().enumerate() {
                    required(out, format!("{path}.httpHeaders[{i}].name"), &header["name"]);
                }
            }
            "tcpSocket" => port_or_name(out, format!("{path}.port"), &action["port"]),
            "grpc" => port(out, format!("{path}.port"), &action["port"]),
            _ => not_negative(out, format!("{path}.seconds"), &action["seconds"]),
        }
    }
    if found == 0 {
        out.push(FieldError::required(path, "must specify a handler type"));
    }
}
