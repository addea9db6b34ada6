//! Conditions of CustomResourceDefinitions (apiextensions `pkg/apihelpers`).

use serde_json::{Value, json};

/// A condition of a definition.
pub(crate) struct Condition<'a> {
    pub(crate) name: &'a str,
    pub(crate) is: bool,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Sets a condition; its time is that of the last change of its status.
pub(crate) fn set_condition(status: &mut Value, condition: &Condition<'_>, now: &str) {
    if !status.is_object() {
        *status = json!({});
    }
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(all) = status["conditions"].as_array_mut() else { return };
    let is = if condition.is { "True" } else { "False" };
    let mut new = json!({"type": condition.name, "status": is, "lastTransitionTime": now,
        "reason": condition.reason, "message": condition.message});
    match all.iter_mut().find(|c| c["type"] == condition.name) {
        Some(known) => {
            if known["status"] == is && known["lastTransitionTime"].is_string() {
                new["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = new;
        }
        None => all.push(new),
    }
}
