//! What is said of a patch whose result is no object of its kind (apiserver
//! `pkg/endpoints/handlers/patch.go`): an error about the field `patch`, not about the object.

use serde_json::Value;

use crate::{
    status::{Details, Status},
    validate::FieldError,
};

/// Turns the refusal of a patched object (see [`Status::cannot_be_handled`]) into that of the patch.
/// `strategic` is the patch when it is a strategic merge patch, whose result upstream converts
/// without decoding it; else `patched` is what the patch made. Other refusals stay as they are.
pub fn refused_patch(refusal: Status, strategic: Option<&Value>, patched: &Value) -> Status {
    let Some(detail) = decoding_error(&refusal) else { return refusal };
    let (shown, detail) = match strategic {
        Some(patch) => (go_text(patch), converter_error(detail)),
        None => (patched.to_string(), detail.to_owned()),
    };
    Status::invalid_named("", "", "", &[FieldError::invalid("patch", shown, detail)])
}

/// 422 of a JSON patch that does not fit the object: upstream keeps the reason to itself.
pub(super) fn unfitting() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::failure(422, "Invalid", message).with_details(Details::default())
}

/// How Go's JSON decoder names the type of a value.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What follows `… cannot be handled as a KIND: `.
fn decoding_error(refusal: &Status) -> Option<&str> {
    let (_, rest) = refusal.message.split_once(" cannot be handled as a ")?;
    let detail = rest.split_once(": ")?.1;
    (detail.starts_with("json: ") || detail.starts_with("strict decoding error: "))
        .then_some(detail)
}

/// The decoder's error in the words of apimachinery's `runtime/converter.go`.
fn converter_error(detail: &str) -> String {
    let parts = detail
        .strip_prefix("json: cannot unmarshal ")
        .and_then(|rest| rest.split_once(" into Go "))
        .and_then(|(from, rest)| Some((from, rest.rsplit_once(" of type ")?.1)));
    let Some((from, to)) = parts else { return detail.to_owned() };
    let from = match from {
        "object" => "map",
        "array" => "slice",
        "number" => "int64",
        other => other,
    };
    if to.starts_with("[]") {
        format!("cannot restore slice from {from}")
    } else if to.starts_with("map[") {
        format!("cannot restore map from {from}")
    } else if to.contains('.') {
        format!("cannot restore struct from: {from}")
    } else if from == "int64" && to == "string" {
        "cannot convert int64 to string".to_owned()
    } else {
        format!("unrecognized type: {to}")
    }
}

/// A value as Go's `%+v` writes it; keys come sorted.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", go_text(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_object_becomes_a_refused_patch() {
        let refusal = |detail: &str| Status::cannot_be_handled("v1", "ConfigMap", detail);
        let patch = json!({"data": {"n": 1}, "a": [null, "x y"]});
        for (detail, said) in [
            (
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
                "cannot convert int64 to string",
            ),
            (
                "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
                "cannot restore map from string",
            ),
            (
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
                "cannot restore slice from map",
            ),
            (
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
                "unrecognized type: int32",
            ),
            (
                "strict decoding error: unknown field \"x\"",
                "strict decoding error: unknown field \"x\"",
            ),
        ] {
            let status = refused_patch(refusal(detail), Some(&patch), &Value::Null);
            let shown = "map[a:[<nil> x y] data:map[n:1]]";
            let want = format!(" \"\" is invalid: patch: Invalid value: \"{shown}\": {said}");
            assert_eq!((status.code, &status.message), (422, &want));
            let status = refused_patch(refusal(detail), None, &json!({"a": 1}));
            let want =
                format!(" \"\" is invalid: patch: Invalid value: \"{{\\\"a\\\":1}}\": {detail}");
            assert_eq!((status.code, &status.message), (422, &want));
        }
        let other = refused_patch(Status::bad_request("no"), None, &Value::Null);
        assert_eq!(other.code, 400);
    }
}
