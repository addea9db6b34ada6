//! RFC 6902, JSON patch.

use serde_json::Value;

use super::refusal::{json_type, unfitting};
use crate::status::Status;

/// Operations one patch may have, as upstream.
const OPERATIONS_MAX: usize = 10_000;

/// Applies a JSON patch (an array of operations) to `original`.
///
/// # Errors
/// 400 when the patch is malformed, 413 when it has too many operations, 422 when a test fails, a
/// path is not there or an operation is unknown.
pub fn json_patch(original: &Value, patch: &Value) -> Result<Value, Status> {
    let Some(operations) = patch.as_array() else {
        return Err(undecodable(patch, "[]handlers.jsonPatchOp"));
    };
    if let Some(wrong) = operations.iter().find(|o| !o.is_object()) {
        return Err(undecodable(wrong, "handlers.jsonPatchOp"));
    }
    if operations.len() > OPERATIONS_MAX {
        return Err(Status::too_large(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        )));
    }
    let patch: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|_| unfitting())?;
    let mut value = original.clone();
    for operation in &patch.0 {
        if !expects_nothing(operation, &value) {
            json_patch::patch(&mut value, std::slice::from_ref(operation))
                .map_err(|_| unfitting())?;
        }
    }
    Ok(value)
}

/// Whether this tests that a member of an object is null and it is not there, which to a Go server
/// is the same: controllers add the first finalizer like that.
fn expects_nothing(operation: &json_patch::PatchOperation, value: &Value) -> bool {
    let json_patch::PatchOperation::Test(test) = operation else { return false };
    let path = test.path.as_str();
    let parent = path.rsplit_once('/').map(|(parent, _)| parent);
    test.value.is_null()
        && value.pointer(path).is_none()
        && parent.and_then(|p| value.pointer(p)).is_some_and(Value::is_object)
}

fn undecodable(value: &Value, wanted: &str) -> Status {
    let found = json_type(value);
    Status::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_and_their_errors() {
        let original = json!({"data": {"a": "1"}, "list": [1, 2]});
        for (patch, want) in [
            (
                json!([{"op": "replace", "path": "/data/a", "value": "2"}]),
                Ok(json!({"data": {"a": "2"}, "list": [1, 2]})),
            ),
            (
                json!([{"op": "add", "path": "/list/-", "value": 3}]),
                Ok(json!({"data": {"a": "1"}, "list": [1, 2, 3]})),
            ),
            (
                json!([{"op": "test", "path": "/new", "value": null},
                    {"op": "add", "path": "/new", "value": [1]}]),
                Ok(json!({"data": {"a": "1"}, "list": [1, 2], "new": [1]})),
            ),
            (json!([{"op": "test", "path": "/data/a", "value": null}]), Err(422)),
            (json!([{"op": "test", "path": "/no/x", "value": null}]), Err(422)),
            (json!([{"op": "remove", "path": "/data"}]), Ok(json!({"list": [1, 2]}))),
            (json!([{"op": "test", "path": "/data/a", "value": "9"}]), Err(422)),
            (json!([{"op": "replace", "path": "/none", "value": 1}]), Err(422)),
            (json!([{"op": "add", "path": "/none/x", "value": 1}]), Err(422)),
            (json!([{"op": "remove", "path": "/none"}]), Err(422)),
            (json!({"data": {}}), Err(400)),
            (json!(["dance"]), Err(400)),
            (json!([{"op": "dance", "path": "/data"}]), Err(422)),
        ] {
            let got = json_patch(&original, &patch).map_err(|s| s.code);
            assert_eq!(got, want, "{patch}");
        }
    }

    #[test]
    fn too_many_operations() {
        let one = json!({"op": "test", "path": "/a", "value": 1});
        let patch = Value::Array(vec![one; OPERATIONS_MAX + 1]);
        assert_eq!(json_patch(&json!({}), &patch).unwrap_err().code, 413);
    }
}
