//! Defaults of admission policies (k8s pkg/apis/admissionregistration/v1/defaults.go).

use serde_json::{Value, json};

use super::{items, set};

pub(crate) fn policy(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    set(spec, "failurePolicy", "Fail");
    matched(spec, "matchConstraints");
}

pub(crate) fn binding(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    matched(spec, "matchResources");
}

fn matched(spec: &mut Value, field: &str) {
    let Some(resources) = spec.get_mut(field).filter(|m| m.is_object()) else { return };
    set(resources, "matchPolicy", "Equivalent");
    set(resources, "namespaceSelector", json!({}));
    set(resources, "objectSelector", json!({}));
    for list in ["/resourceRules", "/excludeResourceRules"] {
        for rule in items(resources, list) {
            set(rule, "scope", "*");
        }
    }
}
