use serde_json::{Value, json};

use super::*;

fn hook(changes: Value) -> Value {
    let mut hook = json!({"name": "a.example.com", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com/x"},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods"], "scope": "*"}]});
    for (field, value) in changes.as_object().unwrap() {
        hook[field] = value.clone();
    }
    hook
}

fn wrong(changes: Value) -> Vec<String> {
    let mut out = Vec::new();
    new(&mut out, &json!({"webhooks": [hook(changes)]}));
    out.iter().map(|e| format!("{}: {}", e.path, e.body())).collect()
}

#[test]
fn fields_are_checked_as_upstream_does() {
    assert_eq!(wrong(json!({})), [""; 0]);
    for (changes, want) in [
        (json!({"name": ""}), "webhooks[0].name: Required value"),
        (
            json!({"name": "a.b"}),
            r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
        ),
        (
            json!({"sideEffects": null}),
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            json!({"sideEffects": "Some"}),
            r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
        ),
        (
            json!({"timeoutSeconds": 31}),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({"clientConfig": {}}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({"clientConfig": {"url": "http://example.com"}}),
            r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
        ),
        (
            json!({"clientConfig": {"url": "https://example.com?a=b"}}),
            r#"webhooks[0].clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL"#,
        ),
        (
            json!({"clientConfig": {"service": {"name": "s", "namespace": "n", "port": 443, "path": "//"}}}),
            r#"webhooks[0].clientConfig.service.path: Invalid value: "//": segment[0] may not be empty"#,
        ),
        (
            json!({"admissionReviewVersions": ["v2"]}),
            r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
        ),
        (
            json!({"admissionReviewVersions": ["v1", "v1"]}),
            r#"webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version"#,
        ),
        (
            json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods/*", "pods/status"]}]}),
            r#"webhooks[0].rules[0].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status"#,
        ),
        (
            json!({"matchConditions": [{"name": "a", "expression": "'x'"}]}),
            r#"webhooks[0].matchConditions[0].expression: Invalid value: "'x'": must evaluate to bool but got string"#,
        ),
        (
            json!({"matchConditions": [{"name": "a", "expression": " "}]}),
            "webhooks[0].matchConditions[0].expression: Required value",
        ),
        (
            json!({"rules": [{"operations": ["PATCH"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]}),
            r#"webhooks[0].rules[0].operations[0]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
        ),
    ] {
        assert_eq!(wrong(changes), [want]);
    }
}

#[test]
fn names_are_unique_and_older_objects_keep_what_they_have() {
    let twice = json!({"webhooks": [hook(json!({})), hook(json!({}))]});
    let mut out = Vec::new();
    new(&mut out, &twice);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].path, "webhooks[1].name");
    let mut out = Vec::new();
    change(&mut out, &twice, &twice);
    assert!(out.is_empty(), "{out:?}");
}
