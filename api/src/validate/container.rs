//! Containers of all three sorts.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{
        Errors, each, in_range, items, one_of, optional_one_of, port, required, required_name, text,
    },
    environment, pod,
    probe::{handler, probe},
    resources,
};
use crate::name;

/// Transport protocols of ports.
pub(super) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
/// Image pull policies.
pub(super) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

pub(super) fn containers(out: &mut Errors, path: &str, spec: &Value, volumes: &HashSet<&str>) {
    if items(spec, "containers").is_empty() {
        out.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut names = HashSet::new();
    let mut host_ports = HashSet::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in items(spec, list).iter().enumerate() {
            let path = format!("{path}.{list}[{i}]");
            common(out, &path, container, volumes);
            let own = text(container, "name");
            if !own.is_empty() && !names.insert(own) {
                out.push(FieldError::duplicate(format!("{path}.name"), own));
            }
            let sidecar = container["restartPolicy"] == "Always";
            if list == "initContainers" && !sidecar {
                plain_init(out, &path, container);
            } else {
                probes(out, &path, container);
            }
            if list != "initContainers" || sidecar {
                conflicts(out, &path, container, &mut host_ports);
            }
            if spec["hostNetwork"] == true {
                host_network(out, &path, container);
            }
        }
    }
}

fn common(out: &mut Errors, path: &str, container: &Value, volumes: &HashSet<&str>) {
    required_name(out, &format!("{path}.name"), &container["name"], name::dns1123_label);
    let image = text(container, "image");
    if image.is_empty() {
        out.push(FieldError::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        out.push(FieldError::invalid(
            format!("{path}.image"),
            image,
            "must not have leading or trailing whitespace",
        ));
    }
    one_of(
        out,
        format!("{path}.terminationMessagePolicy"),
        &container["terminationMessagePolicy"],
        &["FallbackToLogsOnError", "File"],
    );
    let policy = &container["imagePullPolicy"];
    one_of(out, format!("{path}.imagePullPolicy"), policy, PULL_POLICIES);
    optional_one_of(
        out,
        format!("{path}.restartPolicy"),
        &container["restartPolicy"],
        &["Always", "OnFailure", "Never"],
    );
    ports(out, path, container);
    environment::environment(out, path, container);
    mounts(out, path, container, volumes);
    resources::requirements(out, &format!("{path}.resources"), &container["resources"]);
    pod::container_security(out, path, container);
}

fn ports(out: &mut Errors, path: &str, container: &Value) {
    let mut names = HashSet::new();
    for (i, item) in items(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{i}]");
        let own = text(item, "name");
        if !own.is_empty() {
            let messages = name::port_name(own);
            if messages.is_empty() && !names.insert(own) {
                out.push(FieldError::duplicate(format!("{path}.name"), own));
            }
            each(out, &format!("{path}.name"), &item["name"], messages);
        }
        if item["containerPort"].as_i64().unwrap_or(0) == 0 {
            out.push(FieldError::required(format!("{path}.containerPort"), ""));
        } else {
            port(out, format!("{path}.containerPort"), &item["containerPort"]);
        }
        if item["hostPort"].as_i64().unwrap_or(0) != 0 {
            port(out, format!("{path}.hostPort"), &item["hostPort"]);
        }
        one_of(out, format!("{path}.protocol"), &item["protocol"], PROTOCOLS);
    }
}

fn conflicts(out: &mut Errors, path: &str, container: &Value, taken: &mut HashSet<String>) {
    for (i, item) in items(container, "ports").iter().enumerate() {
        let number = item["hostPort"].as_i64().unwrap_or(0);
        if number == 0 {
            continue;
        }
        let key = format!("{}/{}/{number}", text(item, "protocol"), text(item, "hostIP"));
        if !taken.insert(key.clone()) {
            out.push(FieldError::duplicate(format!("{path}.ports[{i}].hostPort"), key));
        }
    }
}

fn host_network(out: &mut Errors, path: &str, container: &Value) {
    for (i, item) in items(container, "ports").iter().enumerate() {
        if item["hostPort"] != item["containerPort"] {
            out.push(FieldError::invalid(
                format!("{path}.ports[{i}].hostPort"),
                item["hostPort"].as_i64().unwrap_or(0),
                "must match `containerPort` when `hostNetwork` is true",
            ));
        }
    }
}

fn mounts(out: &mut Errors, path: &str, container: &Value, volumes: &HashSet<&str>) {
    let mut paths = HashSet::new();
    for (i, mount) in items(container, "volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{i}]");
        let volume = text(mount, "name");
        if volume.is_empty() {
            out.push(FieldError::required(format!("{path}.name"), ""));
        } else if !volumes.contains(volume) {
            out.push(FieldError::not_found(format!("{path}.name"), volume));
        }
        let target = text(mount, "mountPath");
        if target.is_empty() {
            out.push(FieldError::required(format!("{path}.mountPath"), ""));
        } else if !paths.insert(target) {
            out.push(FieldError::invalid(format!("{path}.mountPath"), target, "must be unique"));
        }
        let (sub, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        if !sub.is_empty() {
            descending(out, &format!("{path}.subPath"), sub);
        }
        if !expression.is_empty() {
            if !sub.is_empty() {
                let detail = "subPathExpr and subPath are mutually exclusive";
                out.push(FieldError::invalid(format!("{path}.subPathExpr"), expression, detail));
            }
            descending(out, &format!("{path}.subPathExpr"), expression);
        }
        optional_one_of(
            out,
            format!("{path}.mountPropagation"),
            &mount["mountPropagation"],
            &["Bidirectional", "HostToContainer", "None"],
        );
        if mount["mountPropagation"] == "Bidirectional"
            && container["securityContext"]["privileged"] != true
        {
            out.push(FieldError::forbidden(
                format!("{path}.mountPropagation"),
                "Bidirectional mount propagation is available only to privileged containers",
            ));
        }
    }
}

/// A path that must stay below where it starts.
pub(super) fn descending(out: &mut Errors, path: &str, target: &str) {
    if target.starts_with('/') {
        out.push(FieldError::invalid(path, target, "must be a relative path"));
    }
    no_backsteps(out, path, target);
}

/// A path without `..`.
pub(super) fn no_backsteps(out: &mut Errors, path: &str, target: &str) {
    if target.split('/').any(|part| part == "..") {
        out.push(FieldError::invalid(path, target, "must not contain '..'"));
    }
}

fn plain_init(out: &mut Errors, path: &str, container: &Value) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if !container[field].is_null() {
            out.push(FieldError::forbidden(
                format!("{path}.{field}"),
                "may not be set for init containers without restartPolicy=Always",
            ));
        }
    }
}

fn probes(out: &mut Errors, path: &str, container: &Value) {
    for hook in ["postStart", "preStop"] {
        let action = &container["lifecycle"][hook];
        if !action.is_null() {
            handler(out, &format!("{path}.lifecycle.{hook}"), action);
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let item = &container[field];
        if item.is_null() {
            continue;
        }
        let path = format!("{path}.{field}");
        probe(out, &path, item);
        if field != "readinessProbe" {
            if item["successThreshold"] != 1 {
                let found = item["successThreshold"].clone();
                out.push(FieldError::invalid(
                    format!("{path}.successThreshold"),
                    found,
                    "must be 1",
                ));
            }
        } else if !item["terminationGracePeriodSeconds"].is_null() {
            out.push(FieldError::invalid(
                format!("{path}.terminationGracePeriodSeconds"),
                item["terminationGracePeriodSeconds"].clone(),
                "must not be set for readinessProbes",
            ));
        }
    }
}

/// The file mode of a volume item or volume.
pub(super) fn mode(out: &mut Errors, path: String, value: &Value) {
    if value.as_i64().is_some_and(|m| !(0..=0o777).contains(&m)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        out.push(FieldError::invalid(path, value.clone(), detail));
    }
}

/// `key` to `path` items of a volume.
pub(super) fn key_paths(out: &mut Errors, path: &str, source: &Value) {
    for (i, item) in items(source, "items").iter().enumerate() {
        let path = format!("{path}.items[{i}]");
        required(out, format!("{path}.key"), &item["key"]);
        let target = text(item, "path");
        if target.is_empty() {
            out.push(FieldError::required(format!("{path}.path"), ""));
        }
        descending(out, &format!("{path}.path"), target);
        mode(out, format!("{path}.mode"), &item["mode"]);
    }
}

/// A weight of a preference.
pub(super) fn weight(out: &mut Errors, path: String, value: &Value) {
    let mut found = Vec::new();
    in_range(&mut found, path, value, 1, 100);
    out.extend(found.into_iter().map(|mut e| {
        "must be in the range 1-100".clone_into(&mut e.detail);
        e
    }));
}
