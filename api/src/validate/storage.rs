//! Storage classes, drivers, attachments and runtime classes (k8s pkg/apis/{storage,node}/validation).

use std::collections::HashSet;

use serde_json::Value;

use super::{
    FieldError,
    check::{
        Errors, each, immutable, items, label_selector, labels, one_of, required, required_name,
        text,
    },
};
use crate::name;

/// Longest name of a driver.
const MAX_DRIVER: usize = 63;
/// Most parameters of a class, and their bytes together.
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;
const FIXED_PARAMETERS: &str = "updates to parameters are forbidden.";

fn parameters(out: &mut Errors, object: &Value) {
    let Some(map) = object["parameters"].as_object() else { return };
    if map.len() > MAX_PARAMETERS {
        let detail = format!("must have at most {MAX_PARAMETERS} items");
        out.push(FieldError::new("parameters", super::Reason::TooLong, Value::Null, detail));
    }
    let bytes = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if map.iter().map(bytes).sum::<usize>() > MAX_PARAMETER_BYTES {
        out.push(FieldError::too_long("parameters", MAX_PARAMETER_BYTES));
    }
    if map.keys().any(String::is_empty) {
        out.push(FieldError::invalid("parameters", "", "field can not be empty."));
    }
}

pub(crate) fn class(out: &mut Errors, object: &Value) {
    required(out, "provisioner".into(), &object["provisioner"]);
    parameters(out, object);
    one_of(out, "reclaimPolicy".into(), &object["reclaimPolicy"], &["Delete", "Retain"]);
    let modes = &["Immediate", "WaitForFirstConsumer"];
    one_of(out, "volumeBindingMode".into(), &object["volumeBindingMode"], modes);
    for (i, term) in items(object, "allowedTopologies").iter().enumerate() {
        for (j, own) in items(term, "matchLabelExpressions").iter().enumerate() {
            let at = format!("allowedTopologies[{i}].matchLabelExpressions[{j}]");
            let key = text(own, "key");
            each(out, &format!("{at}.key"), &own["key"], name::qualified_name(key));
            if items(own, "values").is_empty() {
                out.push(FieldError::required(format!("{at}.values"), ""));
            }
        }
    }
}

pub(crate) fn class_change(out: &mut Errors, new: &Value, old: &Value) {
    for (field, detail) in [
        ("parameters", FIXED_PARAMETERS),
        ("provisioner", "updates to provisioner are forbidden."),
        ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
    ] {
        if new[field] != old[field] {
            out.push(FieldError::forbidden(field, detail));
        }
    }
    immutable(out, "volumeBindingMode", &new["volumeBindingMode"], &old["volumeBindingMode"]);
}

fn driver_name(out: &mut Errors, path: &str, own: &str) {
    if own.is_empty() {
        out.push(FieldError::required(path, ""));
        return;
    }
    if own.len() > MAX_DRIVER {
        out.push(FieldError::too_long(path, MAX_DRIVER));
    }
    each(out, path, &own.into(), name::dns1123_subdomain(&own.to_lowercase()));
}

pub(crate) fn attributes_class(out: &mut Errors, object: &Value) {
    driver_name(out, "driverName", text(object, "driverName"));
    if object["parameters"].as_object().is_none_or(serde_json::Map::is_empty) {
        out.push(FieldError::required("parameters", "must contain at least one key/value pair"));
    }
    parameters(out, object);
}

pub(crate) fn attributes_class_change(out: &mut Errors, new: &Value, old: &Value) {
    if new["driverName"] != old["driverName"] {
        out.push(FieldError::forbidden("driverName", "updates to driverName are forbidden."));
    }
    if new["parameters"] != old["parameters"] {
        out.push(FieldError::forbidden("parameters", FIXED_PARAMETERS));
    }
}

pub(crate) fn driver(out: &mut Errors, object: &Value) {
    driver_name(out, "metadata.name", text(&object["metadata"], "name"));
    let spec = &object["spec"];
    for (i, mode) in items(spec, "volumeLifecycleModes").iter().enumerate() {
        let path = format!("spec.volumeLifecycleModes[{i}]");
        one_of(out, path, mode, &["Ephemeral", "Persistent"]);
    }
    let policies = &["File", "None", "ReadWriteOnceWithFSType"];
    one_of(out, "spec.fsGroupPolicy".into(), &spec["fsGroupPolicy"], policies);
    let mut audiences = HashSet::new();
    for (i, request) in items(spec, "tokenRequests").iter().enumerate() {
        let path = format!("spec.tokenRequests[{i}]");
        let audience = text(request, "audience");
        if !audiences.insert(audience) {
            out.push(FieldError::duplicate(format!("{path}.audience"), audience));
        }
        if let Some(seconds) = request["expirationSeconds"].as_i64().filter(|s| *s < 600) {
            let detail = "may not specify a duration less than 10 minutes";
            out.push(FieldError::invalid(format!("{path}.expirationSeconds"), seconds, detail));
        }
    }
}

pub(crate) fn driver_change(out: &mut Errors, new: &Value, old: &Value) {
    for field in ["attachRequired", "volumeLifecycleModes"] {
        immutable(out, &format!("spec.{field}"), &new["spec"][field], &old["spec"][field]);
    }
}

pub(crate) fn node(out: &mut Errors, object: &Value) {
    let mut names = HashSet::new();
    for (i, driver) in items(&object["spec"], "drivers").iter().enumerate() {
        let at = format!("spec.drivers[{i}]");
        let own = text(driver, "name");
        driver_name(out, &format!("{at}.name"), own);
        if !names.insert(own) {
            out.push(FieldError::duplicate(format!("{at}.name"), own));
        }
        required(out, format!("{at}.nodeID"), &driver["nodeID"]);
    }
}

pub(crate) fn capacity(out: &mut Errors, object: &Value) {
    required_name(out, "storageClassName", &object["storageClassName"], name::dns1123_subdomain);
    if !object["nodeTopology"].is_null() {
        label_selector(out, "nodeTopology", &object["nodeTopology"]);
    }
}

pub(crate) fn capacity_change(out: &mut Errors, new: &Value, old: &Value) {
    for field in ["nodeTopology", "storageClassName"] {
        immutable(out, field, &new[field], &old[field]);
    }
}

pub(crate) fn attachment(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    driver_name(out, "spec.attacher", text(spec, "attacher"));
    let source = &spec["source"];
    match (source["inlineVolumeSpec"].is_null(), source["persistentVolumeName"].is_null()) {
        (true, true) => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            out.push(FieldError::required("spec.source", detail));
        }
        (false, false) => {
            let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            out.push(FieldError::forbidden("spec.source", detail));
        }
        _ => {}
    }
    required(out, "spec.nodeName".into(), &spec["nodeName"]);
}

pub(crate) fn attachment_change(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "spec", &new["spec"], &old["spec"]);
}

pub(crate) fn runtime_class(out: &mut Errors, object: &Value) {
    required_name(out, "handler", &object["handler"], name::dns1123_label);
    labels(out, "scheduling.nodeSelector", &object["scheduling"]["nodeSelector"]);
    let tolerations = items(&object["scheduling"], "tolerations");
    super::scheduling::tolerations(out, "scheduling.tolerations", tolerations);
}

pub(crate) fn runtime_class_change(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "handler", &new["handler"], &old["handler"]);
}
