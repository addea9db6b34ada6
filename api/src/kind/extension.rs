//! The row of the kind that defines kinds.

use serde_json::{Value, json};

use super::{Kind, subresource as sub};
use crate::{crd, meta, validate::FieldError};

/// apiextensions.k8s.io/v1 CustomResourceDefinition.
pub static CUSTOM_RESOURCE_DEFINITION: &Kind = kind!("apiextensions.k8s.io", "apiextensions.k8s.io", "v1",
    "CustomResourceDefinition", "customresourcedefinitions", "customresourcedefinition",
    "apiextensions.v1.CustomResourceDefinition",
    short_names: &["crd", "crds"], categories: &["api-extensions"], namespaced: false,
    subresources: sub::STATUS_ONLY, generation: true, unconditional_update: false,
    delete_returns_object: true,
    defaults: crd::default_definition,
    first_status: |definition| json!({"storedVersions": storage_version(definition).as_slice()}),
    prepare_change: |_, definition| note_stored_version(definition),
    check: webhook_conversion,
    check_new: |out, definition| out.extend(crd::validate_definition(definition, None)),
    check_change: |out, new, old| out.extend(crd::validate_definition(new, Some(old))));

/// Objects are not converted by webhooks here. Where there is one version there is nothing to
/// convert.
fn webhook_conversion(out: &mut Vec<FieldError>, definition: &Value) {
    let spec = &definition["spec"];
    if spec["conversion"]["strategy"] == "Webhook" && meta::list(&spec["versions"]).len() > 1 {
        let detail = "this server does not call conversion webhooks: use None, or one version";
        out.push(FieldError::invalid("spec.conversion.strategy", "Webhook", detail));
    }
}

/// The version of a definition that is stored.
fn storage_version(definition: &Value) -> Option<&str> {
    let versions = meta::list(&definition["spec"]["versions"]);
    versions.iter().find(|v| v["storage"] == true)?["name"].as_str()
}

/// Objects may from now on be stored in this version, and stay so until somebody rewrites them.
fn note_stored_version(definition: &mut Value) {
    let Some(version) = storage_version(definition).map(Value::from) else { return };
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    let stored = &mut definition["status"]["storedVersions"];
    match stored.as_array_mut() {
        Some(list) if list.contains(&version) => {}
        Some(list) => list.push(version),
        None => *stored = json!([version]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_versions_only_grow() {
        let mut definition = json!({"spec": {"versions": [{"name": "v1", "storage": true}]}});
        note_stored_version(&mut definition);
        note_stored_version(&mut definition);
        definition["spec"]["versions"] = json!([{"name": "v1"}, {"name": "v2", "storage": true}]);
        note_stored_version(&mut definition);
        assert_eq!(definition["status"]["storedVersions"], json!(["v1", "v2"]));
        let mut none = json!({"spec": {}});
        note_stored_version(&mut none);
        assert_eq!(none, json!({"spec": {}}));
    }
}
