//! The pairs of versions that share storage: core `Event` (stored) and `events.k8s.io` `Event`, whose
//! field names differ, and `autoscaling/v2` (stored) and `autoscaling/v1`, which keeps in annotations
//! what it has no fields for.

use serde_json::{Value, json};

use super::{EVENTS_EVENT, HORIZONTAL_POD_AUTOSCALER_V1, Kind};

/// (annotation, pointer to the parent, field) of what v1 autoscalers have no field for.
const ANNOTATED: &[(&str, &str, &str)] = &[
    ("autoscaling.alpha.kubernetes.io/metrics", "/spec", "metrics"),
    ("autoscaling.alpha.kubernetes.io/behavior", "/spec", "behavior"),
    ("autoscaling.alpha.kubernetes.io/current-metrics", "/status", "currentMetrics"),
    ("autoscaling.alpha.kubernetes.io/conditions", "/status", "conditions"),
];
/// (pointer to the parent, list of metrics, field of v1, the target's name in v2).
const CPU: &[(&str, &str, &str, &str)] = &[
    ("/spec", "metrics", "targetCPUUtilizationPercentage", "target"),
    ("/status", "currentMetrics", "currentCPUUtilizationPercentage", "current"),
];

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

/// Rewrites an object as served by `kind` into the form that is stored. A no-op for kinds that are
/// stored themselves.
pub fn to_storage_version(kind: &Kind, object: &mut Value) {
    if kind == EVENTS_EVENT {
        rename(object, |(core, event)| (event, core));
        object["apiVersion"] = "v1".into();
    } else if kind == HORIZONTAL_POD_AUTOSCALER_V1 {
        to_autoscaling_v2(object);
    }
}

/// Rewrites a stored object into the form `kind` serves.
pub fn to_version(kind: &Kind, object: &mut Value) {
    if kind == EVENTS_EVENT {
        rename(object, |(core, event)| (core, event));
        object["apiVersion"] = "events.k8s.io/v1".into();
    } else if kind == HORIZONTAL_POD_AUTOSCALER_V1 {
        to_autoscaling_v1(object);
    } else if kind.custom.is_some() {
        // Conversion strategy None.
        object["apiVersion"] = kind.api_version().into();
    }
}

fn to_autoscaling_v2(object: &mut Value) {
    for (annotation, parent, field) in ANNOTATED {
        let annotations = object.pointer_mut("/metadata/annotations");
        let text = annotations.and_then(Value::as_object_mut).and_then(|a| a.remove(*annotation));
        let parsed = text.and_then(|t| serde_json::from_str::<Value>(t.as_str()?).ok());
        if let (Some(parsed), Some(Value::Object(parent))) = (parsed, object.pointer_mut(parent)) {
            parent.insert((*field).to_owned(), parsed);
        }
    }
    drop_empty_annotations(object);
    for (parent, list, field, side) in CPU {
        let Some(Value::Object(parent)) = object.pointer_mut(parent) else { continue };
        let Some(percent) = parent.remove(*field) else { continue };
        let mut amount = json!({"averageUtilization": percent});
        if *side == "target" {
            amount["type"] = "Utilization".into();
        }
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", (*side): amount}});
        let metrics = parent.entry(*list).or_insert_with(|| json!([]));
        if let Value::Array(metrics) = metrics {
            metrics.insert(0, metric);
        }
    }
    object["apiVersion"] = "autoscaling/v2".into();
}

fn to_autoscaling_v1(object: &mut Value) {
    for (parent, list, field, side) in CPU {
        let Some(Value::Object(parent)) = object.pointer_mut(parent) else { continue };
        let Some(Value::Array(metrics)) = parent.get_mut(*list) else { continue };
        let percent = |metric: &Value| {
            let cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
            metric["resource"][*side]["averageUtilization"].as_i64().filter(|_| cpu)
        };
        if let Some(at) = metrics.iter().position(|m| percent(m).is_some()) {
            let found = percent(&metrics.remove(at));
            parent.insert((*field).to_owned(), found.into());
        }
    }
    for (annotation, parent, field) in ANNOTATED {
        let Some(Value::Object(parent)) = object.pointer_mut(parent) else { continue };
        let Some(value) = parent.remove(*field) else { continue };
        if value.as_array().is_none_or(|list| !list.is_empty()) {
            object["metadata"]["annotations"][*annotation] = value.to_string().into();
        }
    }
    object["apiVersion"] = "autoscaling/v1".into();
}

fn drop_empty_annotations(object: &mut Value) {
    if let Some(Value::Object(meta)) = object.get_mut("metadata")
        && meta.get("annotations").and_then(Value::as_object).is_some_and(|a| a.is_empty())
    {
        meta.remove("annotations");
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
    fn autoscaler_versions_round_trip() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 70}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory",
            "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let stored = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "x"}, "spec": {"maxReplicas": 3, "metrics": [cpu, memory],
                "behavior": {"scaleDown": {"selectPolicy": "Max"}}},
            "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale"}]}});
        let mut served = stored.clone();
        to_version(HORIZONTAL_POD_AUTOSCALER_V1, &mut served);
        assert_eq!(served["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
        assert_eq!(served["status"], json!({"desiredReplicas": 1}));
        let annotations = served["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(annotations.len(), 3, "{annotations:?}");
        to_storage_version(HORIZONTAL_POD_AUTOSCALER_V1, &mut served);
        assert_eq!(served, stored);
    }

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
