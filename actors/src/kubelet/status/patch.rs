//! The difference between two statuses as a strategic merge patch.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Conditions the kubelet owns; others are left to their owners.
const OWN_CONDITIONS: [&str; 4] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// Whether the kubelet owns a condition of this type.
pub fn is_own(kind: &str) -> bool {
    OWN_CONDITIONS.contains(&kind)
}

/// A patch of the `status` subresource that turns `old` into `new`, or `None` when nothing
/// differs. It carries the uid, so that it can never hit a successor of the same name.
pub fn status_patch(uid: &str, old: Option<&PodStatus>, new: &PodStatus) -> Option<Value> {
    let fields = |status: &PodStatus| match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let before = old.map(fields).unwrap_or_default();
    let after = fields(new);
    let mut patch = Map::new();
    for (key, value) in &after {
        if before.get(key) != Some(value) {
            patch.insert(key.clone(), value.clone());
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    if let Some(Value::Array(conditions)) = patch.get_mut("conditions") {
        let own = |c: &Value| c["type"].as_str().is_some_and(is_own);
        conditions.retain(own);
        // A merge by type keeps fields that are absent: say what is no more.
        for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
            for key in ["reason", "message"] {
                condition.entry(key).or_insert(Value::Null);
            }
        }
        if conditions.is_empty() {
            patch.remove("conditions");
        }
    }
    for (key, merge_key) in [("podIPs", "ip"), ("hostIPs", "ip")] {
        replace_list(&mut patch, &before, key, merge_key);
    }
    if patch.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": uid}, "status": patch}))
}

/// Entries that are gone have to be deleted by name: the list is merged by `merge_key`.
fn replace_list(
    patch: &mut Map<String, Value>,
    before: &Map<String, Value>,
    key: &str,
    merge_key: &str,
) {
    let Some(Value::Array(new)) = patch.get_mut(key) else { return };
    let old = before.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let gone: Vec<Value> = old
        .iter()
        .filter(|o| new.iter().all(|n| n[merge_key] != o[merge_key]))
        .map(|o| json!({merge_key: o[merge_key], "$patch": "delete"}))
        .collect();
    new.extend(gone);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_differs_is_sent() {
        let old = status(json!({"phase": "Pending", "reason": "Old", "podIP": "1.1.1.1",
            "podIPs": [{"ip": "1.1.1.1"}], "conditions": [
                {"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}]}));
        assert_eq!(status_patch("u", Some(&old), &old), None);
        let new = status(json!({"phase": "Running", "podIP": "1.1.1.2",
            "podIPs": [{"ip": "1.1.1.2"}], "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]}));
        assert_eq!(
            status_patch("u", Some(&old), &new),
            Some(json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "reason": null, "podIP": "1.1.1.2",
                "podIPs": [{"ip": "1.1.1.2"}, {"ip": "1.1.1.1", "$patch": "delete"}],
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": null, "message": null}]}}))
        );
    }
}
