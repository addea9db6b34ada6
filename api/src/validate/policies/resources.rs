//! Which requests a policy or a binding is about.

use serde_json::Value;

use super::super::{
    FieldError,
    check::{Errors, each, items, label_selector, one_of},
};
use crate::name;

const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const ALONE: &str = "if '*' is present, must not specify other";

/// `matchConstraints` or `matchResources`.
pub(super) fn match_resources(out: &mut Errors, at: &str, resources: &Value) {
    one_of(out, format!("{at}.matchPolicy"), &resources["matchPolicy"], MATCH_POLICIES);
    for field in ["namespaceSelector", "objectSelector"] {
        if resources[field].is_object() {
            label_selector(out, &format!("{at}.{field}"), &resources[field]);
        } else {
            out.push(FieldError::required(format!("{at}.{field}"), ""));
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, one) in items(resources, field).iter().enumerate() {
            rule(out, &format!("{at}.{field}[{i}]"), one);
        }
    }
}

fn strings(value: &Value, field: &str) -> Vec<String> {
    items(value, field).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn rule(out: &mut Errors, at: &str, rule: &Value) {
    let mut seen = Vec::new();
    for (i, own) in strings(rule, "resourceNames").into_iter().enumerate() {
        let path = format!("{at}.resourceNames[{i}]");
        each(out, &path, &own.as_str().into(), name::path_segment(&own));
        if seen.contains(&own) {
            out.push(FieldError::duplicate(path, own));
        } else {
            seen.push(own);
        }
    }
    let operations = strings(rule, "operations");
    if operations.is_empty() {
        out.push(FieldError::required(format!("{at}.operations"), ""));
    }
    alone(out, format!("{at}.operations"), &operations, "operations");
    for (i, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(&operation.as_str()) {
            let path = format!("{at}.operations[{i}]");
            out.push(FieldError::not_supported(path, operation.as_str(), OPERATIONS));
        }
    }
    let groups = strings(rule, "apiGroups");
    if groups.is_empty() {
        out.push(FieldError::required(format!("{at}.apiGroups"), ""));
    }
    alone(out, format!("{at}.apiGroups"), &groups, "API groups");
    let versions = strings(rule, "apiVersions");
    if versions.is_empty() {
        out.push(FieldError::required(format!("{at}.apiVersions"), ""));
    }
    alone(out, format!("{at}.apiVersions"), &versions, "API versions");
    for (i, version) in versions.iter().enumerate().filter(|(_, v)| v.is_empty()) {
        out.push(FieldError::required(format!("{at}.apiVersions[{i}]"), version.as_str()));
    }
    let resources = strings(rule, "resources");
    if resources.is_empty() {
        out.push(FieldError::required(format!("{at}.resources"), ""));
    }
    for (i, _) in resources.iter().enumerate().filter(|(_, r)| r.is_empty()) {
        out.push(FieldError::required(format!("{at}.resources[{i}]"), ""));
    }
    if resources.len() > 1 && resources.iter().any(|r| r == "*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        out.push(FieldError::invalid(format!("{at}.resources"), resources.clone(), detail));
    }
    if !rule["scope"].is_null() {
        one_of(out, format!("{at}.scope"), &rule["scope"], SCOPES);
    }
}

fn alone(out: &mut Errors, path: String, list: &[String], what: &str) {
    if list.len() > 1 && list.iter().any(|v| v == "*") {
        out.push(FieldError::invalid(path, list.to_vec(), format!("{ALONE} {what}")));
    }
}
