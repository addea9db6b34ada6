//! Defaults of limit ranges (k8s pkg/apis/core/v1/defaults.go `SetDefaults_LimitRangeItem`).

use serde_json::Value;

use super::{absent, items};

/// What a container gets when it says nothing is filled in from what it may have: the limit from the
/// maximum, the request from the limit, and where there is neither, from the minimum.
pub(crate) fn range(object: &mut Value) {
    for item in items(object, "/spec/limits") {
        if item["type"] == "Container" {
            fill(item, "default", "max");
            fill(item, "defaultRequest", "default");
            fill(item, "defaultRequest", "min");
        }
    }
}

fn fill(item: &mut Value, to: &str, from: &str) {
    let Some(source) = item.get(from).and_then(Value::as_object).cloned() else { return };
    if source.is_empty() {
        return;
    }
    if absent(item, to) {
        item[to] = Value::Object(source);
    } else if let Some(target) = item[to].as_object_mut() {
        for (resource, amount) in source {
            target.entry(resource).or_insert(amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_come_from_the_maximum_and_requests_from_limits() {
        let mut object = json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "1", "x/y": "1"},
                "default": {"memory": "512Mi"}},
            {"type": "Pod", "max": {"cpu": "4"}}]}});
        range(&mut object);
        let once = object.clone();
        range(&mut object);
        assert_eq!(object, once);
        assert_eq!(object["spec"]["limits"][0]["default"], json!({"cpu": "2", "memory": "512Mi"}));
        assert_eq!(
            object["spec"]["limits"][0]["defaultRequest"],
            json!({"cpu": "2", "memory": "512Mi", "x/y": "1"})
        );
        assert_eq!(object["spec"]["limits"][1], json!({"type": "Pod", "max": {"cpu": "4"}}));
    }
}
