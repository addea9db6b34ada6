//! Kinds with a few rules each.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, items, one_of, required, text},
};
use crate::name;

/// The classes of the system, and their values.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
/// Highest value of a priority class made by users.
const MAX_PRIORITY: i64 = 1_000_000_000;
/// Shortest lifetime of a requested token, seconds.
const MIN_TOKEN_SECONDS: i64 = 600;

pub(crate) fn node(out: &mut Errors, object: &Value) {
    const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let mut seen = HashSet::new();
    for (i, taint) in items(&object["spec"], "taints").iter().enumerate() {
        let path = format!("spec.taints[{i}]");
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        each(out, &format!("{path}.key"), &key.into(), name::qualified_name(key));
        let value = text(taint, "value");
        each(out, &format!("{path}.value"), &value.into(), name::label_value(value));
        one_of(out, format!("{path}.effect"), &taint["effect"], EFFECTS);
        if !seen.insert((key, effect)) {
            let mut error = FieldError::duplicate(path, taint.clone());
            "taints must be unique by key and effect pair".clone_into(&mut error.detail);
            out.push(error);
        }
    }
    for (i, range) in items(&object["spec"], "podCIDRs").iter().enumerate() {
        if !is_cidr(range.as_str().unwrap_or("")) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            out.push(FieldError::invalid(format!("spec.podCIDRs[{i}]"), range.clone(), detail));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let longest = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|b| b <= longest)
    })
}

pub(crate) fn node_update(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    if !items(old, "podCIDRs").is_empty() && new["podCIDRs"] != old["podCIDRs"] {
        out.push(FieldError::forbidden(
            "spec.podCIDRs",
            "node updates may not change podCIDR except from \"\" to valid",
        ));
    }
    if !text(old, "providerID").is_empty() && new["providerID"] != old["providerID"] {
        out.push(FieldError::forbidden(
            "spec.providerID",
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
}

pub(crate) fn lease(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    for (field, least, detail) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if let Some(number) = spec[field].as_i64().filter(|n| *n < least) {
            out.push(FieldError::invalid(format!("spec.{field}"), number, detail));
        }
    }
    if spec["holderIdentity"] == "" {
        out.push(FieldError::invalid("spec.holderIdentity", "", "must not be empty"));
    }
}

pub(crate) fn event(out: &mut Errors, object: &Value) {
    let involved = text(&object["involvedObject"], "namespace");
    let own = text(&object["metadata"], "namespace");
    // Events about cluster-scoped objects live in the default namespace.
    if involved != own && !(involved.is_empty() && matches!(own, "default" | "kube-system")) {
        out.push(FieldError::invalid(
            "involvedObject.namespace",
            involved,
            "does not match event.namespace",
        ));
    }
}

pub(crate) fn new_event(out: &mut Errors, object: &Value) {
    for field in ["reportingController", "reportingInstance", "action", "reason", "eventTime"] {
        required(out, field.to_owned(), &object[field]);
    }
    if !matches!(text(object, "type"), "Normal" | "Warning") {
        let found = text(object, "type");
        let detail = format!("has invalid value: {found}");
        out.push(FieldError::invalid("type", found, detail));
    }
}

pub(crate) fn priority_class(out: &mut Errors, object: &Value) {
    let name = text(&object["metadata"], "name");
    if name.starts_with("system-") {
        if let Some(why) = not_a_system_class(name, object) {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            );
            out.push(FieldError::forbidden("metadata.name", detail));
        }
    } else if object["value"].as_i64().unwrap_or(0) > MAX_PRIORITY {
        out.push(FieldError::forbidden(
            "value",
            "maximum allowed value of a user defined priority is 1000000000",
        ));
    }
    let policy = &object["preemptionPolicy"];
    one_of(out, "preemptionPolicy".into(), policy, &["Never", "PreemptLowerPriority"]);
}

/// Why a class with the prefix of the system is none of its own (`apis/scheduling/helpers.go`).
fn not_a_system_class(name: &str, object: &Value) -> Option<String> {
    let Some((_, value)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if object["value"].as_i64() != Some(*value) {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    (object["globalDefault"] == true)
        .then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

pub(crate) fn priority_class_update(out: &mut Errors, new: &Value, old: &Value) {
    for field in ["value", "preemptionPolicy"] {
        if new[field] != old[field] {
            out.push(FieldError::forbidden(field, "may not be changed in an update."));
        }
    }
}

pub(crate) fn binding(out: &mut Errors, object: &Value) {
    let target = &object["target"];
    let kind = text(target, "kind");
    if !matches!(kind, "" | "Node") {
        out.push(FieldError::not_supported("target.kind", kind, &["Node", "<empty>"]));
    }
    required(out, "target.name".into(), &target["name"]);
}

pub(crate) fn token_request(out: &mut Errors, object: &Value) {
    let seconds = object["spec"]["expirationSeconds"].as_i64().unwrap_or(0);
    if seconds < MIN_TOKEN_SECONDS {
        out.push(FieldError::invalid(
            "spec.expirationSeconds",
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    } else if seconds > 1 << 32 {
        out.push(FieldError::invalid(
            "spec.expirationSeconds",
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
}

/// Access reviews; `subject` says whether the spec names one.
pub(crate) fn access_review(out: &mut Errors, object: &Value, subject: bool) {
    let spec = &object["spec"];
    match (spec["resourceAttributes"].is_null(), spec["nonResourceAttributes"].is_null()) {
        (false, false) => out.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            spec["nonResourceAttributes"].clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (true, true) => out.push(FieldError::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    if subject && text(spec, "user").is_empty() && items(spec, "groups").is_empty() {
        out.push(FieldError::invalid(
            "spec.user",
            "",
            "at least one of user or group must be specified",
        ));
    }
}
