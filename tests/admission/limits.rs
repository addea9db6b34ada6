//! Limit ranges.

use serde_json::json;

use crate::door::{Door, pod};

pub fn defaults_and_bounds(door: &Door<'_>) {
    let ns = door.namespace("limits", json!({}));
    let bad = json!({"metadata": {"name": "bad"}, "spec": {"limits": [
        {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}});
    assert_eq!(
        door.post(&format!("{ns}/limitranges"), bad).refusal(),
        "422 LimitRange \"bad\" is invalid: [spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1, spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1, spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1]"
    );
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}});
    let made = door.post(&format!("{ns}/limitranges"), range).ok().json();
    assert_eq!(made["spec"]["limits"][0]["default"], json!({"cpu": "500m"}));
    let answer = door.post(&format!("{ns}/pods"), pod("given", "")).ok();
    assert_eq!(answer.warnings, [] as [&str; 0]);
    let made = answer.json();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let mut greedy = pod("greedy", "100m");
    greedy["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "600m"});
    assert_eq!(
        door.post(&format!("{ns}/pods"), greedy).refusal(),
        "403 pods \"greedy\" is forbidden: maximum cpu usage per Container is 500m, but limit is 600m"
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        door.post(&format!("{ns}/persistentvolumeclaims"), claim).refusal(),
        "403 persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
}
