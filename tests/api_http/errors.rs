//! Refusals, with upstream's whole body (apimachinery `pkg/api/errors/errors.go`).

use serde_json::{Value, json};

use crate::api_support::{Answer, TestApi};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";

/// A whole Status of a failure; `details` null leaves them out.
fn failure(code: u16, reason: &str, message: &str, details: Value) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code});
    if !details.is_null() {
        status["details"] = details;
    }
    status
}

fn check(answer: &Answer, want: &Value) {
    assert_eq!((Value::from(answer.code), &answer.json()), (want["code"].clone(), want));
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_upstreams_body() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let one = format!("{MAPS}/a");
    let made = admin.post(MAPS, &map("a")).await.json();
    let about = json!({"name": "a", "kind": "configmaps"});

    let missing = failure(404, "NotFound", r#"configmaps "a" not found"#, about.clone());
    let text = r#"configmaps "a" already exists"#;
    check(&admin.post(MAPS, &map("a")).await, &failure(409, "AlreadyExists", text, about.clone()));
    admin.send_json("PATCH", &one, MERGE, &json!({"data": {"k": "w"}})).await;
    let text = r#"Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#;
    let stale = admin.send_json("PUT", &one, "application/json", &made).await;
    check(&stale, &failure(409, "Conflict", text, about));

    let huge = json!({"data": {"k": "x".repeat(3 << 20)}});
    let text = "Request entity too large: limit is 3145728";
    let want = failure(413, "RequestEntityTooLarge", text, Value::Null);
    check(&admin.post(MAPS, &huge).await, &want);

    let types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let text = format!(
        "the body of the request was in an unknown format - accepted media types include: {types}"
    );
    let want = failure(415, "UnsupportedMediaType", &text, Value::Null);
    check(&admin.send_json("POST", MAPS, "text/plain", &map("b")).await, &want);
    let text = format!("only the following media types are accepted: {types}");
    let want = failure(406, "NotAcceptable", &text, Value::Null);
    check(&admin.get_as(&one, "text/html").await, &want);

    let test = json!([{"op": "test", "path": "/data/k", "value": "other"}]);
    let text = "the server rejected our request due to an error in our request";
    let want = failure(422, "Invalid", text, json!({}));
    check(&admin.send_json("PATCH", &one, "application/json-patch+json", &test).await, &want);
    let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let mut wrong = map("w");
    wrong["data"] = json!({"a/b": "c"});
    let body = format!("Invalid value: \"a/b\": {detail}");
    let causes = json!([{"reason": "FieldValueInvalid", "message": body, "field": "data[a/b]"}]);
    let details = json!({"name": "w", "kind": "ConfigMap", "causes": causes});
    let text = format!("ConfigMap \"w\" is invalid: data[a/b]: {body}");
    check(&admin.post(MAPS, &wrong).await, &failure(422, "Invalid", &text, details));

    admin.request("DELETE", &one).send().await.unwrap();
    check(&admin.get(&one).await, &missing);
    api.store.compact(api.store.revision()).await.unwrap();
    let old = admin.get(&format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")).await;
    let text = "The resourceVersion for the provided list is too old.";
    check(&old, &failure(410, "Expired", text, Value::Null));
    api.stop().await;
}
