//! Defaults of flow control (k8s pkg/apis/flowcontrol/v1/defaults.go).

use serde_json::Value;

use super::{ensure, set, set_in};

const PRECEDENCE: i64 = 1000;
const SHARES: i64 = 30;

pub(crate) fn schema(object: &mut Value) {
    let spec = ensure(object, "spec");
    // Zero is what a client writes that knows no better.
    if spec["matchingPrecedence"].as_i64().unwrap_or(0) == 0 && spec.is_object() {
        spec["matchingPrecedence"] = PRECEDENCE.into();
    }
}

pub(crate) fn level(object: &mut Value) {
    set_in(object, "/spec/exempt", "nominalConcurrencyShares", 0);
    set_in(object, "/spec/exempt", "lendablePercent", 0);
    if let Some(limited) = object.pointer_mut("/spec/limited") {
        set(limited, "nominalConcurrencyShares", SHARES);
        set(limited, "lendablePercent", 0);
    }
    if let Some(queuing) = object.pointer_mut("/spec/limited/limitResponse/queuing") {
        for (field, value) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
            if queuing[field].as_i64().unwrap_or(0) == 0 && queuing.is_object() {
                queuing[field] = value.into();
            }
        }
    }
}
