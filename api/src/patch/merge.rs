//! RFC 7386, JSON merge patch.

use serde_json::Value;

use super::refusal::json_type;
use crate::status::Status;

/// Applies a merge patch to `original`: objects merge, null deletes, the rest replaces.
///
/// # Errors
/// 400 when the patch is not an object.
pub fn merge_patch(original: &Value, patch: &Value) -> Result<Value, Status> {
    if !patch.is_object() {
        return Err(Status::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_type(patch)
        )));
    }
    let mut value = original.clone();
    json_patch::merge(&mut value, patch);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_deletes_and_the_rest_replaces() {
        let original = json!({"a": {"b": 1, "c": [1]}, "d": 2});
        let patch = json!({"a": {"b": null, "c": [2]}, "e": {"f": null}});
        assert_eq!(
            merge_patch(&original, &patch).unwrap(),
            json!({"a": {"c": [2]}, "d": 2, "e": {}})
        );
        assert_eq!(merge_patch(&original, &json!([1])).unwrap_err().code, 400);
    }
}
