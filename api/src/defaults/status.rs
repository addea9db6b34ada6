//! What a new object's status begins with.

use serde_json::{Value, json};

use crate::{kind::Kind, meta, quantity::Quantity, schema};

/// Replaces the status of a new object by what the create strategy of its kind begins with; a kind
/// without status subresource is left alone.
pub fn initial_status(kind: &Kind, object: &mut Value) {
    if !kind.has_status() {
        return;
    }
    if kind.custom.is_some() {
        // The object is what a client sent: it may not even have the form of one.
        if let Value::Object(map) = object {
            map.remove("status");
        }
        return;
    }
    let status = (kind.first_status)(object);
    if !status.is_null() {
        object["status"] = status;
        schema::fill_status(kind, object);
    }
}

/// A node registers itself with its status.
pub(crate) fn node(object: &Value) -> Value {
    object["status"].clone()
}

pub(crate) fn pod(object: &Value) -> Value {
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(&object["spec"])});
    if !meta::list(&object["spec"]["schedulingGates"]).is_empty() {
        status["conditions"] = json!([{"type": "PodScheduled", "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates"}]);
    }
    status
}

/// The quality-of-service class of a pod spec: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: &Value) -> &'static str {
    let amount = |list: &Value, name: &str| {
        list[name].as_str().and_then(|s| Quantity::parse(s).ok()).filter(|q| !q.is_zero())
    };
    let containers = || {
        let init = meta::list(&spec["initContainers"]);
        meta::list(&spec["containers"]).iter().chain(init).map(|c| &c["resources"])
    };
    let mentions = |resources: &Value| {
        ["cpu", "memory"].iter().any(|name| {
            amount(&resources["limits"], name).is_some()
                || amount(&resources["requests"], name).is_some()
        })
    };
    if !containers().any(mentions) {
        return "BestEffort";
    }
    let guaranteed = containers().all(|resources| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(&resources["limits"], name);
            let request = amount(&resources["requests"], name);
            limit.is_some() && (request.is_none() || request == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}
