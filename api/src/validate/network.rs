//! Ingresses and their classes (k8s pkg/apis/networking/validation/validation.go).

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, immutable, items, port, required, text},
};
use crate::name;

const MAX_CONTROLLER: usize = 250;
/// What a path may not contain, and not end with.
const PATH_PARTS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const PATH_ENDS: &[&str] = &["/..", "/."];

pub(crate) fn ingress(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let rules = items(spec, "rules");
    let fallback = &spec["defaultBackend"];
    if rules.is_empty() && fallback.is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        out.push(FieldError::invalid("spec", Value::Null, detail));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{i}]");
        let own = text(rule, "host");
        if own.parse::<std::net::IpAddr>().is_ok() {
            let detail = "must be a DNS name, not an IP address";
            out.push(FieldError::invalid(format!("{at}.host"), own, detail));
        } else if !own.is_empty() {
            host(out, &format!("{at}.host"), own);
        }
        if !rule["http"].is_null() {
            paths(out, &format!("{at}.http.paths"), items(&rule["http"], "paths"));
        }
    }
    if !fallback.is_null() {
        backend(out, "spec.defaultBackend", fallback);
    }
    for (i, tls) in items(spec, "tls").iter().enumerate() {
        for (j, own) in items(tls, "hosts").iter().enumerate() {
            host(out, &format!("spec.tls[{i}].hosts[{j}]"), own.as_str().unwrap_or(""));
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            let path = format!("spec.tls[{i}].secretName");
            each(out, &path, &tls["secretName"], name::dns1123_subdomain(secret));
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        each(out, "spec.ingressClassName", &class.into(), name::dns1123_subdomain(class));
    }
}

/// A name, or `*.` and a name.
fn host(out: &mut Errors, path: &str, own: &str) {
    match own.strip_prefix("*.") {
        Some(rest) if !name::is_dns1123_subdomain(rest) => out.push(FieldError::invalid(
            path,
            own,
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        )),
        Some(_) => {}
        None => each(out, path, &own.into(), name::dns1123_subdomain(own)),
    }
}

fn paths(out: &mut Errors, at: &str, paths: &[Value]) {
    if paths.is_empty() {
        out.push(FieldError::required(at, ""));
    }
    for (i, entry) in paths.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let own = text(entry, "path");
        match text(entry, "pathType") {
            "" => out
                .push(FieldError::required(format!("{at}.pathType"), "pathType must be specified")),
            "Exact" | "Prefix" => {
                path(out, &format!("{at}.path"), own);
                for part in PATH_PARTS.iter().filter(|p| own.contains(**p)) {
                    let detail = format!("must not contain '{part}'");
                    out.push(FieldError::invalid(format!("{at}.path"), own, detail));
                }
                for end in PATH_ENDS.iter().filter(|e| own.ends_with(**e)) {
                    let detail = format!("cannot end with '{end}'");
                    out.push(FieldError::invalid(format!("{at}.path"), own, detail));
                }
            }
            "ImplementationSpecific" => {
                if !own.is_empty() {
                    path(out, &format!("{at}.path"), own);
                }
            }
            other => out.push(FieldError::not_supported(
                format!("{at}.pathType"),
                other,
                &["Exact", "ImplementationSpecific", "Prefix"],
            )),
        }
        backend(out, &format!("{at}.backend"), &entry["backend"]);
    }
}

fn path(out: &mut Errors, at: &str, own: &str) {
    if !own.starts_with('/') {
        out.push(FieldError::invalid(at, own, "must be an absolute path"));
    }
}

fn backend(out: &mut Errors, at: &str, backend: &Value) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_null(), resource.is_null()) {
        (false, false) => {
            let detail = "cannot set both resource and service backends";
            out.push(FieldError::invalid(at, "", detail));
        }
        (true, true) => {
            out.push(FieldError::invalid(at, "", "resource or service backend is required"));
        }
        (true, false) => {
            required(out, format!("{at}.resource.kind"), &resource["kind"]);
            required(out, format!("{at}.resource.name"), &resource["name"]);
        }
        (false, true) => {
            let own = text(service, "name");
            if own.is_empty() {
                out.push(FieldError::required(format!("{at}.service.name"), ""));
            } else {
                let path = format!("{at}.service.name");
                each(out, &path, &own.into(), name::dns1035_label(own));
            }
            let (named, number) = (text(&service["port"], "name"), &service["port"]["number"]);
            let numbered = number.as_i64().unwrap_or(0) != 0;
            match (named, numbered) {
                ("", false) => {
                    out.push(FieldError::required(at, "port name or number is required"));
                }
                ("", true) => port(out, format!("{at}.service.port.number"), number),
                (_, true) => {
                    let detail = "cannot set both port name & port number";
                    out.push(FieldError::invalid(at, "", detail));
                }
                (named, false) => {
                    let path = format!("{at}.service.port.name");
                    each(out, &path, &named.into(), name::port_name(named));
                }
            }
        }
    }
}

pub(crate) fn ingress_class(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let controller = text(spec, "controller");
    if controller.len() > MAX_CONTROLLER {
        out.push(FieldError::too_long("spec.controller", MAX_CONTROLLER));
    }
    let (domain, rest) = controller.split_once('/').unwrap_or((controller, ""));
    if controller.is_empty() {
        out.push(FieldError::required("spec.controller", ""));
    } else if rest.is_empty() || !name::is_dns1123_subdomain(domain) {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        out.push(FieldError::invalid("spec.controller", controller, detail));
    }
    let parameters = &spec["parameters"];
    if parameters.is_null() {
        return;
    }
    const PATH: &str = "spec.parameters";
    required(out, format!("{PATH}.kind"), &parameters["kind"]);
    required(out, format!("{PATH}.name"), &parameters["name"]);
    let namespace = &parameters["namespace"];
    match text(parameters, "scope") {
        "Namespace" if text(parameters, "namespace").is_empty() => out.push(FieldError::required(
            format!("{PATH}.namespace"),
            "`parameters.scope` is set to 'Namespace'",
        )),
        "Cluster" if !namespace.is_null() => out.push(FieldError::forbidden(
            format!("{PATH}.namespace"),
            "`parameters.scope` is set to 'Cluster'",
        )),
        "Cluster" | "Namespace" => {}
        other => out.push(FieldError::not_supported(
            format!("{PATH}.scope"),
            other,
            &["Cluster", "Namespace"],
        )),
    }
}

pub(crate) fn ingress_class_change(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"]["controller"], &old["spec"]["controller"]);
    immutable(out, "spec.controller", new, old);
}
