//! The one pair of versions that share storage: core `Event` (stored) and `events.k8s.io` `Event`.
//! Only field names differ.

use serde_json::Value;

use super::{EVENTS_EVENT, Kind};

/// (core name, events.k8s.io name) of every renamed field.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Rewrites an object as served by `kind` into the form that is stored. A no-op for all kinds but
/// `events.k8s.io` Event.
pub fn to_storage_version(kind: &Kind, object: &mut Value) {
    if kind == EVENTS_EVENT {
        rename(object, |(core, event)| (event, core));
        object["apiVersion"] = "v1".into();
    }
}

/// Rewrites a stored object into the form `kind` serves.
pub fn to_version(kind: &Kind, object: &mut Value) {
    if kind == EVENTS_EVENT {
        rename(object, |(core, event)| (core, event));
        object["apiVersion"] = "events.k8s.io/v1".into();
    }
}

fn rename(
    object: &mut Value,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(map) = object.as_object_mut() else { return };
    for pair in RENAMED {
        let (from, to) = direction(*pair);
        if let Some(value) = map.remove(from) {
            map.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_versions_round_trip() {
        let stored = json!({"apiVersion": "v1", "kind": "Event", "message": "m", "reason": "r",
            "involvedObject": {"name": "p"}, "reportingComponent": "c", "count": 2});
        let mut served = stored.clone();
        to_version(EVENTS_EVENT, &mut served);
        assert_eq!(
            served,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "m", "reason": "r",
                "regarding": {"name": "p"}, "reportingController": "c", "deprecatedCount": 2})
        );
        to_storage_version(EVENTS_EVENT, &mut served);
        assert_eq!(served, stored);
    }
}
