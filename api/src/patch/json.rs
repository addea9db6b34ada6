//! RFC 6902, JSON patch.

use serde_json::Value;

use crate::{kind::Kind, status::Status};

/// Operations one patch may have, as upstream.
const OPERATIONS_MAX: usize = 10_000;

/// Applies a JSON patch (an array of operations) to `original`.
///
/// # Errors
/// 400 when the patch is malformed, 413 when it has too many operations, 422 when a test fails or a
/// path is not there.
pub fn json_patch(
    kind: &Kind,
    name: &str,
    original: &Value,
    patch: &Value,
) -> Result<Value, Status> {
    let operations = patch.as_array().map_or(0, Vec::len);
    if operations > OPERATIONS_MAX {
        return Err(Status::too_large(format!(
            "the allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {operations}"
        )));
    }
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let mut value = original.clone();
    json_patch::patch(&mut value, &patch)
        .map_err(|e| Status::unprocessable_patch(kind, name, &e.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::CONFIG_MAP;

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
            (json!([{"op": "remove", "path": "/data"}]), Ok(json!({"list": [1, 2]}))),
            (json!([{"op": "test", "path": "/data/a", "value": "9"}]), Err(422)),
            (json!([{"op": "replace", "path": "/none", "value": 1}]), Err(422)),
            (json!([{"op": "add", "path": "/none/x", "value": 1}]), Err(422)),
            (json!([{"op": "remove", "path": "/none"}]), Err(422)),
            (json!({"data": {}}), Err(400)),
            (json!([{"op": "dance", "path": "/data"}]), Err(400)),
        ] {
            let got = json_patch(CONFIG_MAP, "x", &original, &patch).map_err(|s| s.code);
            assert_eq!(got, want, "{patch}");
        }
    }

    #[test]
    fn too_many_operations() {
        let one = json!({"op": "test", "path": "/a", "value": 1});
        let patch = Value::Array(vec![one; OPERATIONS_MAX + 1]);
        assert_eq!(json_patch(CONFIG_MAP, "x", &json!({}), &patch).unwrap_err().code, 413);
    }
}
