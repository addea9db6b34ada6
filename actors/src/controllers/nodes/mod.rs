//! Nodes: whether they live, what happens to pods on those that do not, and their pod addresses.

mod eviction;
mod ipam;
mod lifecycle;
mod pod_gc;
mod taints;
#[cfg(test)]
mod tests;

pub(crate) use eviction::TaintEviction;
pub(crate) use ipam::NodeIpam;
pub(crate) use lifecycle::NodeLifecycle;
pub(crate) use pod_gc::PodGc;

use serde_json::{Value, json};

use super::model::Time;

/// Sets a condition of a pod or node in its JSON form. The transition time only changes with the
/// status. Returns whether anything changed.
fn set_condition(
    object: &mut Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Time,
) -> bool {
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else { return false };
    let fresh = json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now.rfc3339()});
    let Some(old) = list.iter_mut().find(|c| c["type"] == kind) else {
        list.push(fresh);
        return true;
    };
    if old["status"] == status && old["reason"] == reason {
        return false;
    }
    if old["status"] != status {
        old["lastTransitionTime"] = fresh["lastTransitionTime"].clone();
    }
    old["status"] = status.into();
    old["reason"] = reason.into();
    old["message"] = message.into();
    true
}
