//! Defaults of autoscalers (k8s pkg/apis/autoscaling/v2/defaults.go).

use serde_json::{Value, json};

use super::{absent, items, set, set_in};

/// Percentage of requested CPU that is aimed at.
const CPU_PERCENT: i64 = 80;

pub(crate) fn autoscaler(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    set(spec, "minReplicas", 1);
    if items(spec, "/metrics").is_empty() {
        spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT}}}]);
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|b| b.is_object()) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let up = super::ensure(behavior, "scaleUp");
    set(up, "stabilizationWindowSeconds", 0);
    set(up, "selectPolicy", "Max");
    if absent(up, "policies") {
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        set(up, "policies", json!([pods, percent]));
    }
    let down = super::ensure(behavior, "scaleDown");
    set(down, "selectPolicy", "Max");
    set(down, "policies", json!([percent]));
}

pub(crate) fn autoscaler_v1(object: &mut Value) {
    set_in(object, "/spec", "minReplicas", 1);
    let annotated =
        object.pointer("/metadata/annotations/autoscaling.alpha.kubernetes.io~1metrics");
    if annotated.is_none() {
        set_in(object, "/spec", "targetCPUUtilizationPercentage", CPU_PERCENT);
    }
}
