//! Pods and pod templates.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, in_range, ip, items, labels, one_of, required_name, text},
    container, meta, scheduling, volume,
};
use crate::name;

/// Largest uid or gid.
const MAX_ID: i64 = 2_147_483_647;

pub(crate) fn create(out: &mut Errors, pod: &Value) {
    spec(out, "spec", &pod["spec"]);
    if !items(&pod["spec"], "ephemeralContainers").is_empty() {
        out.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
    }
}

/// The template of a workload that keeps its pods running.
pub(super) fn template(out: &mut Errors, path: &str, template: &Value) {
    labels(out, &format!("{path}.metadata.labels"), &template["metadata"]["labels"]);
    let annotations = &template["metadata"]["annotations"];
    meta::annotations(out, &format!("{path}.metadata.annotations"), annotations);
    spec(out, &format!("{path}.spec"), &template["spec"]);
    if !items(&template["spec"], "ephemeralContainers").is_empty() {
        out.push(FieldError::forbidden(
            format!("{path}.spec.ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        ));
    }
}

fn spec(out: &mut Errors, path: &str, spec: &Value) {
    let volumes = volume::volumes(out, &format!("{path}.volumes"), spec);
    container::containers(out, path, spec, &volumes);
    one_of(
        out,
        format!("{path}.restartPolicy"),
        &spec["restartPolicy"],
        &["Always", "OnFailure", "Never"],
    );
    dns(out, path, spec);
    labels(out, &format!("{path}.nodeSelector"), &spec["nodeSelector"]);
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        let path = format!("{path}.activeDeadlineSeconds");
        in_range(out, path, &seconds.into(), 1, i64::from(i32::MAX));
    }
    for (field, check) in [
        ("nodeName", name::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("serviceAccountName", name::dns1123_subdomain),
        ("hostname", name::dns1123_label),
        ("subdomain", name::dns1123_label),
        ("priorityClassName", name::dns1123_subdomain),
        ("runtimeClassName", name::dns1123_subdomain),
    ] {
        match text(spec, field) {
            "" => {}
            own => each(out, &format!("{path}.{field}"), &spec[field], check(own)),
        }
    }
    for (i, secret) in items(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            out.push(FieldError::required(format!("{path}.imagePullSecrets[{i}].name"), ""));
        }
    }
    for (i, alias) in items(spec, "hostAliases").iter().enumerate() {
        let path = format!("{path}.hostAliases[{i}]");
        ip(out, format!("{path}.ip"), text(alias, "ip"));
        for (j, host) in items(alias, "hostnames").iter().enumerate() {
            let messages = name::dns1123_subdomain(host.as_str().unwrap_or(""));
            each(out, &format!("{path}.hostnames[{j}]"), host, messages);
        }
    }
    gates(out, path, spec);
    security(out, path, spec);
    scheduling::pod_spec(out, path, spec);
}

fn dns(out: &mut Errors, path: &str, spec: &Value) {
    const POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(out, format!("{path}.dnsPolicy"), &spec["dnsPolicy"], POLICIES);
    let config = &spec["dnsConfig"];
    let servers = items(config, "nameservers");
    let path = format!("{path}.dnsConfig");
    if spec["dnsPolicy"] == "None" {
        if config.is_null() {
            out.push(FieldError::required(
                path.clone(),
                "must provide `dnsConfig` when `dnsPolicy` is None",
            ));
        } else if servers.is_empty() {
            out.push(FieldError::required(
                format!("{path}.nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            ));
        }
    }
    if servers.len() > 3 {
        out.push(FieldError::invalid(
            format!("{path}.nameservers"),
            config["nameservers"].clone(),
            "must not have more than 3 nameservers",
        ));
    }
    for (i, server) in servers.iter().enumerate() {
        ip(out, format!("{path}.nameservers[{i}]"), server.as_str().unwrap_or(""));
    }
    if items(config, "searches").len() > 32 {
        out.push(FieldError::invalid(
            format!("{path}.searches"),
            config["searches"].clone(),
            "must not have more than 32 search paths",
        ));
    }
    for (i, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            let detail = "must not be empty";
            out.push(FieldError::required(format!("{path}.options[{i}]"), detail));
        }
    }
}

fn gates(out: &mut Errors, path: &str, spec: &Value) {
    for (i, gate) in items(spec, "readinessGates").iter().enumerate() {
        let messages = name::qualified_name(text(gate, "conditionType"));
        let path = format!("{path}.readinessGates[{i}].conditionType");
        each(out, &path, &gate["conditionType"], messages);
    }
    let mut seen = HashSet::new();
    for (i, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let path = format!("{path}.schedulingGates[{i}]");
        let own = text(gate, "name");
        required_name(out, &path, &gate["name"], name::qualified_name);
        if !seen.insert(own) {
            out.push(FieldError::duplicate(path, own));
        }
    }
}

fn security(out: &mut Errors, path: &str, spec: &Value) {
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        out.push(FieldError::invalid(
            format!("{path}.shareProcessNamespace"),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        ));
    }
    let context = &spec["securityContext"];
    let path = format!("{path}.securityContext");
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        if !context[field].is_null() {
            in_range(out, format!("{path}.{field}"), &context[field], 0, MAX_ID);
        }
    }
    for (i, group) in items(context, "supplementalGroups").iter().enumerate() {
        in_range(out, format!("{path}.supplementalGroups[{i}]"), group, 0, MAX_ID);
    }
    let mut seen = HashSet::new();
    for (i, sysctl) in items(context, "sysctls").iter().enumerate() {
        let path = format!("{path}.sysctls[{i}].name");
        let own = text(sysctl, "name");
        if own.is_empty() {
            out.push(FieldError::required(path, ""));
        } else if !seen.insert(own) {
            out.push(FieldError::duplicate(path, own));
        }
    }
    seccomp(out, &path, context);
}

pub(super) fn seccomp(out: &mut Errors, path: &str, context: &Value) {
    let profile = &context["seccompProfile"];
    if profile.is_null() {
        return;
    }
    let path = format!("{path}.seccompProfile");
    let local = text(profile, "localhostProfile");
    match text(profile, "type") {
        "Localhost" if local.is_empty() => out.push(FieldError::required(
            format!("{path}.localhostProfile"),
            "must be set when seccomp type is Localhost ",
        )),
        "Unconfined" | "RuntimeDefault" if !local.is_empty() => out.push(FieldError::invalid(
            format!("{path}.localhostProfile"),
            local,
            "can only be set when seccomp type is Localhost",
        )),
        "" => out.push(FieldError::required(
            format!("{path}.type"),
            "type is required when seccompProfile is set",
        )),
        "Localhost" | "Unconfined" | "RuntimeDefault" => {}
        other => out.push(FieldError::not_supported(
            format!("{path}.type"),
            other,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
}

/// The security context of one container.
pub(super) fn container_security(out: &mut Errors, path: &str, container: &Value) {
    let context = &container["securityContext"];
    let path = format!("{path}.securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        if !context[field].is_null() {
            in_range(out, format!("{path}.{field}"), &context[field], 0, MAX_ID);
        }
    }
    seccomp(out, &path, context);
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            out.push(FieldError::invalid(
                path.clone(),
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ));
        }
        if items(&context["capabilities"], "add").iter().any(|c| c == "CAP_SYS_ADMIN") {
            out.push(FieldError::invalid(
                path,
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
}
