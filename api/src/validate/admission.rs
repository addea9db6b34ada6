//! Webhook configurations (k8s pkg/apis/admissionregistration/validation/validation.go,
//! apiserver pkg/util/webhook/validation.go).

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, items, label_selector, optional_one_of, text},
};
use crate::{cel, name};

/// Webhooks of one configuration that are looked at; upstream has no limit but the object's size.
const WEBHOOKS_MAX: usize = 1_000;
/// Match conditions of one webhook.
const CONDITIONS_MAX: usize = 64;
const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const URL_FORM: &str = "; desired format: https://host[/path]";

/// What an older object may keep that a new one may not have.
struct Options {
    no_side_effects: bool,
    known_review_version: bool,
    unique_names: bool,
    /// Whether match conditions are looked at: those that stay need not compile any more.
    conditions: bool,
}

pub(crate) fn new(out: &mut Errors, object: &Value) {
    let options = Options {
        no_side_effects: true,
        known_review_version: true,
        unique_names: true,
        conditions: true,
    };
    configuration(out, object, &options);
}

pub(crate) fn change(out: &mut Errors, object: &Value, old: &Value) {
    let hooks = items(old, "webhooks");
    let names: std::collections::HashSet<_> = hooks.iter().map(|h| text(h, "name")).collect();
    let options = Options {
        no_side_effects: hooks.iter().all(|h| NO_SIDE_EFFECTS.contains(&text(h, "sideEffects"))),
        known_review_version: hooks.iter().all(|h| {
            let versions = items(h, "admissionReviewVersions");
            versions.is_empty() || versions.iter().any(is_known_version)
        }),
        unique_names: names.len() == hooks.len(),
        conditions: !items(object, "webhooks")
            .iter()
            .map(|h| &h["matchConditions"])
            .eq(hooks.iter().map(|h| &h["matchConditions"])),
    };
    configuration(out, object, &options);
}

fn is_known_version(version: &Value) -> bool {
    version.as_str().is_some_and(|v| REVIEW_VERSIONS.contains(&v))
}

fn configuration(out: &mut Errors, object: &Value, options: &Options) {
    let hooks = items(object, "webhooks");
    if hooks.len() > WEBHOOKS_MAX {
        out.push(FieldError::too_many("webhooks", hooks.len(), WEBHOOKS_MAX));
        return;
    }
    let mut names = std::collections::HashSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        let at = format!("webhooks[{i}]");
        webhook(out, &at, hook, options);
        let versions = items(hook, "admissionReviewVersions");
        review_versions(out, &format!("{at}.admissionReviewVersions"), versions, options);
        let name = text(hook, "name");
        if options.unique_names && !name.is_empty() && !names.insert(name) {
            out.push(FieldError::duplicate(format!("{at}.name"), name));
        }
    }
}

fn webhook(out: &mut Errors, at: &str, hook: &Value, options: &Options) {
    fully_qualified_name(out, format!("{at}.name"), text(hook, "name"));
    for (i, rule) in items(hook, "rules").iter().enumerate() {
        self::rule(out, &format!("{at}.rules[{i}]"), rule);
    }
    let choice = |out: &mut Errors, field: &str, set: &[&str]| {
        optional_one_of(out, format!("{at}.{field}"), &hook[field], set);
    };
    choice(out, "failurePolicy", FAILURE_POLICIES);
    choice(out, "matchPolicy", MATCH_POLICIES);
    let allowed = if options.no_side_effects { NO_SIDE_EFFECTS } else { SIDE_EFFECTS };
    if hook["sideEffects"].is_null() {
        let detail = format!("must specify one of {}", allowed.join(", "));
        out.push(FieldError::required(format!("{at}.sideEffects"), detail));
    }
    choice(out, "sideEffects", allowed);
    if let Some(seconds) = hook["timeoutSeconds"].as_i64()
        && !(1..=30).contains(&seconds)
    {
        let detail = "the timeout value must be between 1 and 30 seconds";
        out.push(FieldError::invalid(format!("{at}.timeoutSeconds"), seconds, detail));
    }
    for selector in ["namespaceSelector", "objectSelector"] {
        label_selector(out, &format!("{at}.{selector}"), &hook[selector]);
    }
    choice(out, "reinvocationPolicy", REINVOCATION_POLICIES);
    client_config(out, &format!("{at}.clientConfig"), &hook["clientConfig"]);
    if options.conditions {
        match_conditions(out, &format!("{at}.matchConditions"), hook);
    }
}

/// The conditions of a webhook: names, and expressions that compile.
fn match_conditions(out: &mut Errors, at: &str, hook: &Value) {
    let listed = items(hook, "matchConditions");
    if listed.len() > CONDITIONS_MAX {
        out.push(FieldError::too_many(at, listed.len(), CONDITIONS_MAX));
        return;
    }
    let compiled = cel::conditions(hook, false);
    let mut names = std::collections::HashSet::new();
    for (i, (condition, (_, program))) in listed.iter().zip(compiled).enumerate() {
        let expression = text(condition, "expression").trim();
        let path = format!("{at}[{i}].expression");
        match program {
            _ if expression.is_empty() => out.push(FieldError::required(path, "")),
            Err(error) => out.push(FieldError::invalid(path, expression, error.to_string())),
            Ok(_) => {}
        }
        let (path, name) = (format!("{at}[{i}].name"), text(condition, "name"));
        if name.is_empty() {
            out.push(FieldError::required(path, ""));
        } else {
            each(out, &path, &condition["name"], name::qualified_name(name));
            if !names.insert(name) {
                out.push(FieldError::duplicate(path, name));
            }
        }
    }
}

fn fully_qualified_name(out: &mut Errors, path: String, name: &str) {
    if name.is_empty() {
        out.push(FieldError::required(path, ""));
        return;
    }
    let wrong = name::dns1123_subdomain(name);
    if !wrong.is_empty() {
        out.push(FieldError::invalid(path, name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        out.push(FieldError::invalid(path, name, detail));
    }
}

fn review_versions(out: &mut Errors, at: &str, versions: &[Value], options: &Options) {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        out.push(FieldError::required(at, format!("must specify one of {known}")));
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for (i, version) in versions.iter().enumerate() {
        let (at, text) = (format!("{at}[{i}]"), version.as_str().unwrap_or(""));
        if seen.insert(text) {
            each(out, &at, version, name::dns1035_label(text));
        } else {
            out.push(FieldError::invalid(at, text, "duplicate version"));
        }
    }
    if options.known_review_version && !versions.iter().any(is_known_version) {
        let detail = format!("must include at least one of {known}");
        out.push(FieldError::invalid(at, versions.to_vec(), detail));
    }
}

/// One `RuleWithOperations`.
pub(crate) fn rule(out: &mut Errors, at: &str, rule: &Value) {
    let operations = items(rule, "operations");
    list(out, &format!("{at}.operations"), operations, "operations");
    for (i, operation) in operations.iter().enumerate() {
        let text = operation.as_str().unwrap_or("");
        if !OPERATIONS.contains(&text) {
            let path = format!("{at}.operations[{i}]");
            out.push(FieldError::not_supported(path, text, OPERATIONS));
        }
    }
    list(out, &format!("{at}.apiGroups"), items(rule, "apiGroups"), "API groups");
    let versions = items(rule, "apiVersions");
    list(out, &format!("{at}.apiVersions"), versions, "API versions");
    for (i, _) in versions.iter().enumerate().filter(|(_, v)| *v == "") {
        out.push(FieldError::required(format!("{at}.apiVersions[{i}]"), ""));
    }
    resources(out, &format!("{at}.resources"), items(rule, "resources"));
    optional_one_of(out, format!("{at}.scope"), &rule["scope"], SCOPES);
}

/// A list that must not be empty and holds `*` only alone.
fn list(out: &mut Errors, at: &str, values: &[Value], what: &str) {
    if values.is_empty() {
        out.push(FieldError::required(at, ""));
    } else if values.len() > 1 && values.iter().any(|v| v == "*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        out.push(FieldError::invalid(at, values.to_vec(), detail));
    }
}

fn resources(out: &mut Errors, at: &str, resources: &[Value]) {
    if resources.is_empty() {
        out.push(FieldError::required(at, ""));
    }
    let (mut all_subresources, mut of_all) = (Vec::new(), Vec::new());
    let (mut everything, mut all, mut plain) = (false, false, false);
    for (i, resource) in resources.iter().enumerate() {
        let (path, resource) = (format!("{at}[{i}]"), resource.as_str().unwrap_or(""));
        if resource.is_empty() {
            out.push(FieldError::required(path, ""));
            continue;
        }
        everything |= resource == "*/*";
        all |= resource == "*";
        let Some((name, sub)) = resource.split_once('/') else {
            plain = resource != "*";
            continue;
        };
        if all_subresources.contains(&name) {
            let detail = format!("if '{name}/*' is present, must not specify {resource}");
            out.push(FieldError::invalid(path.as_str(), resource, detail));
        }
        if of_all.contains(&sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {resource}");
            out.push(FieldError::invalid(path, resource, detail));
        }
        if sub == "*" {
            all_subresources.push(name);
        }
        if name == "*" {
            of_all.push(sub);
        }
    }
    if resources.len() > 1 && everything {
        let detail = "if '*/*' is present, must not specify other resources";
        out.push(FieldError::invalid(at, resources.to_vec(), detail));
    }
    if all && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        out.push(FieldError::invalid(at, resources.to_vec(), detail));
    }
}

fn client_config(out: &mut Errors, at: &str, config: &Value) {
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(address), false) => url(out, &format!("{at}.url"), address),
        (None, true) => service(out, &format!("{at}.service"), &config["service"]),
        _ => {
            out.push(FieldError::required(at, "exactly one of url or service is required"));
        }
    }
}

/// The address of a webhook. Only what such an address may hold is told apart.
pub(crate) fn url(out: &mut Errors, at: &str, address: &str) {
    let Some((scheme, rest)) = address.split_once("://") else {
        let detail = format!("'https' is the only allowed URL scheme{URL_FORM}");
        out.push(FieldError::invalid(at, "", detail));
        out.push(FieldError::invalid(at, "", format!("host must be specified{URL_FORM}")));
        return;
    };
    if address.chars().any(|c| c.is_control() || c == ' ') {
        let detail = format!("url must be a valid URL: invalid character in URL{URL_FORM}");
        out.push(FieldError::required(at, detail));
        return;
    }
    if scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{URL_FORM}");
        out.push(FieldError::invalid(at, scheme, detail));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if host.is_empty() {
        out.push(FieldError::invalid(at, host, format!("host must be specified{URL_FORM}")));
    }
    if let Some(user) = user {
        let detail = "user information is not permitted in the URL";
        out.push(FieldError::invalid(at, user, detail));
    }
    if !fragment.is_empty() {
        let detail = "fragments are not permitted in the URL";
        out.push(FieldError::invalid(at, fragment, detail));
    }
    if !query.is_empty() {
        let detail = "query parameters are not permitted in the URL";
        out.push(FieldError::invalid(at, query, detail));
    }
}

/// The Service of a webhook.
pub(crate) fn service(out: &mut Errors, at: &str, service: &Value) {
    for (field, detail) in
        [("name", "service name is required"), ("namespace", "service namespace is required")]
    {
        if text(service, field).is_empty() {
            out.push(FieldError::required(format!("{at}.{field}"), detail));
        }
    }
    let port = service["port"].as_i64().unwrap_or(0);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        out.push(FieldError::invalid(format!("{at}.port"), port, detail));
    }
    service_path(out, &format!("{at}.path"), text(service, "path"));
}

fn service_path(out: &mut Errors, at: &str, path: &str) {
    if matches!(path, "" | "/") {
        return;
    }
    if path == "//" {
        out.push(FieldError::invalid(at, path, "segment[0] may not be empty"));
        return;
    }
    if !path.starts_with('/') {
        out.push(FieldError::invalid(at, path, "must start with a '/'"));
    }
    // As upstream, the first character is taken for the slash.
    let mut steps = path.chars();
    steps.next();
    let steps = steps.as_str();
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            out.push(FieldError::invalid(at, path, format!("segment[{i}] may not be empty")));
            continue;
        }
        for wrong in name::dns1123_subdomain(step) {
            out.push(FieldError::invalid(at, path, format!("segment[{i}]: {wrong}")));
        }
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
