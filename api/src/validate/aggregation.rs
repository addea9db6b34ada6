//! APIServices (kube-aggregator pkg/apis/apiregistration/validation/validation.go).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, required, text},
};
use crate::name;

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1_000;

pub(crate) fn api_service(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let wanted = format!("{version}.{group}");
    let name = text(&object["metadata"], "name");
    if name != wanted {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        out.push(FieldError::invalid("metadata.name", name, detail));
    }
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        out.push(FieldError::required("spec.group", detail));
    }
    if !group.is_empty() {
        each(out, "spec.group", &spec["group"], name::dns1123_subdomain(group));
    }
    each(out, "spec.version", &version.into(), name::dns1035_label(version));
    for (field, max) in
        [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)]
    {
        let value = spec[field].as_i64().unwrap_or(0);
        if !(1..=max).contains(&value) {
            let detail = format!("must be positive and less than {max}");
            out.push(FieldError::invalid(format!("spec.{field}"), value, detail));
        }
    }
    let bundle = text(spec, "caBundle");
    let insecure = spec["insecureSkipTLSVerify"] == true;
    let service = &spec["service"];
    if !service.is_object() {
        if !bundle.is_empty() {
            let bytes = STANDARD.decode(bundle).map_or(0, |b| b.len());
            let detail = "local APIServices may not have a caBundle";
            out.push(FieldError::invalid("spec.caBundle", format!("{bytes} bytes"), detail));
        }
        if insecure {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            out.push(FieldError::invalid("spec.insecureSkipTLSVerify", true, detail));
        }
        return;
    }
    for field in ["namespace", "name"] {
        required(out, format!("spec.service.{field}"), &service[field]);
    }
    let port = service["port"].as_i64().unwrap_or(0);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        out.push(FieldError::invalid("spec.service.port", port, detail));
    }
    if insecure && !bundle.is_empty() {
        let detail = "may not be true if caBundle is present";
        out.push(FieldError::invalid("spec.insecureSkipTLSVerify", true, detail));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(name: &str, spec: Value) -> Vec<String> {
        let mut out = Vec::new();
        api_service(&mut out, &json!({"metadata": {"name": name}, "spec": spec}));
        out.iter().map(|e| format!("{}: {}", e.path, e.body())).collect()
    }

    #[test]
    fn fields_are_checked_as_upstream_does() {
        let spec = |changes: Value| {
            let mut spec = json!({"group": "g.io", "version": "v1", "groupPriorityMinimum": 100,
                "versionPriority": 10, "service": {"namespace": "n", "name": "s", "port": 443}});
            for (field, value) in changes.as_object().unwrap() {
                spec[field] = value.clone();
            }
            spec
        };
        assert_eq!(wrong("v1.g.io", spec(json!({}))), [""; 0]);
        for (name, changes, want) in [
            (
                "x",
                json!({}),
                r#"metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.g.io""#,
            ),
            (
                "v2.",
                json!({"group": "", "version": "v2"}),
                "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
            ),
            (
                "v1.g.io",
                json!({"groupPriorityMinimum": 0}),
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
            ),
            (
                "v1.g.io",
                json!({"versionPriority": 1001}),
                "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
            ),
            (
                "v1.g.io",
                json!({"service": null, "caBundle": "AAAA"}),
                r#"spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle"#,
            ),
            (
                "v1.g.io",
                json!({"insecureSkipTLSVerify": true, "caBundle": "AAAA"}),
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ),
        ] {
            assert_eq!(wrong(name, spec(changes)), [want]);
        }
    }
}
