//! What may change in a pod once it is stored.

use serde_json::{Map, Value};

use super::{
    FieldError,
    check::{Errors, items, text},
    scheduling,
};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(crate) fn update(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if items(new, list).len() != items(old, list).len() {
            out.push(FieldError::forbidden(
                format!("spec.{list}"),
                "pod updates may not add or remove containers",
            ));
            return;
        }
        for (i, container) in items(new, list).iter().enumerate() {
            let image = text(container, "image");
            let path = format!("spec.{list}[{i}].image");
            if image.is_empty() {
                out.push(FieldError::required(path, ""));
            } else if image.trim() != image {
                let detail = "must not have leading or trailing whitespace";
                out.push(FieldError::invalid(path, image, detail));
            }
        }
    }
    deadline(out, &new["activeDeadlineSeconds"], &old["activeDeadlineSeconds"]);
    tolerations(out, new, old);
    let before = items(old, "schedulingGates");
    for gate in items(new, "schedulingGates").iter().filter(|g| !before.contains(g)) {
        out.push(FieldError::forbidden(
            "spec.schedulingGates",
            format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                text(gate, "name")
            ),
        ));
    }
    let grace_reset = new["terminationGracePeriodSeconds"] == 1
        && old["terminationGracePeriodSeconds"].as_i64().is_some_and(|s| s < 0);
    if fixed(new, grace_reset, !before.is_empty()) != fixed(old, grace_reset, !before.is_empty()) {
        out.push(FieldError::forbidden("spec", ONLY));
    }
}

/// A deadline may be set or shortened, never removed.
fn deadline(out: &mut Errors, new: &Value, old: &Value) {
    const PATH: &str = "spec.activeDeadlineSeconds";
    match (new.as_i64(), old.as_i64()) {
        (Some(new), _) if !(1..=i64::from(i32::MAX)).contains(&new) => {
            let detail = format!("must be between 1 and {}, inclusive", i32::MAX);
            out.push(FieldError::invalid(PATH, new, detail));
        }
        (Some(new), Some(old)) if new > old => {
            let detail = "must be less than or equal to previous value";
            out.push(FieldError::invalid(PATH, new, detail));
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            out.push(FieldError::invalid(PATH, Value::Null, detail));
        }
        _ => {}
    }
}

/// Tolerations may be added; of existing ones only the seconds may change.
fn tolerations(out: &mut Errors, new: &Value, old: &Value) {
    let same = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| a[*field] == b[*field])
    };
    let after = items(new, "tolerations");
    if items(old, "tolerations").iter().any(|o| !after.iter().any(|n| same(n, o))) {
        out.push(FieldError::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    scheduling::tolerations(out, "spec.tolerations", after);
}

/// The spec without what may change.
fn fixed(spec: &Value, grace_reset: bool, gated: bool) -> Map<String, Value> {
    let mut map = spec.as_object().cloned().unwrap_or_default();
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        map.remove(field);
    }
    if grace_reset {
        map.remove("terminationGracePeriodSeconds");
    }
    if gated {
        // A pod that waits for its gates has not been placed; where it may run is still open.
        map.remove("nodeSelector");
        if let Some(Value::Object(affinity)) = map.get_mut("affinity") {
            affinity.remove("nodeAffinity");
        }
        if map.get("affinity").is_some_and(|a| a.as_object().is_some_and(Map::is_empty)) {
            map.remove("affinity");
        }
    }
    for list in ["containers", "initContainers"] {
        for container in map.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(container) = container {
                container.remove("image");
            }
        }
    }
    // Changed only by their own subresource, which upstream's main endpoint ignores.
    map.remove("ephemeralContainers");
    map
}
