//! Filling in defaults (`schema/defaulting/{algorithm,prunenulls}.go`).

use serde_json::Value;

use super::{
    DEFAULTED_BYTES_MAX, ROOT,
    node::{Additional, Node, Schema},
};
use crate::validate::{FieldError, Reason};

impl Schema {
    /// Fills in the defaults; twice is as once. A null where none may be takes the default, or goes
    /// when there is none, as upstream does on requests and on reads from storage.
    ///
    /// # Errors
    /// When the defaults would add more than [`DEFAULTED_BYTES_MAX`] bytes; the object is half
    /// filled then and must not be used.
    pub fn apply_defaults(&self, object: &mut Value) -> Result<(), FieldError> {
        drop_nulls(&self.root, object);
        let mut left = DEFAULTED_BYTES_MAX;
        fill(&self.root, object, &mut left).ok_or_else(|| {
            let detail = format!("the defaults of the schema add more than {DEFAULTED_BYTES_MAX} bytes to the object; write fewer items");
            FieldError::new(ROOT, Reason::Forbidden, Value::Null, detail)
        })
    }
}

/// Removes nulls of properties that may not be null and have no default.
fn drop_nulls(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|name, inner| {
            let Some(property) = node.property(name) else { return true };
            if inner.is_null() && !property.nullable && property.default.is_none() {
                // An additional property that is null is for the validation to refuse.
                return !node.properties.contains_key(name);
            }
            drop_nulls(property, inner);
            true
        }),
        Value::Array(list) => {
            if let Some(items) = &node.items {
                list.iter_mut().for_each(|item| drop_nulls(items, item));
            }
        }
        _ => {}
    }
}

/// `None` when there is no room for what a default adds.
fn fill(node: &Node, value: &mut Value, left: &mut usize) -> Option<()> {
    match value {
        Value::Object(map) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                if map.get(name).is_none_or(|v| v.is_null() && !property.nullable) {
                    *left = left.checked_sub(name.len() + size(default))?;
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, inner) in map.iter_mut() {
                match (node.properties.get(name), &node.additional) {
                    (Some(property), _) => fill(property, inner, left)?,
                    (None, Additional::Schema(additional)) => replace(additional, inner, left)?,
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &node.items {
                for item in list {
                    replace(items, item, left)?;
                }
            }
        }
        _ => {}
    }
    Some(())
}

fn replace(node: &Node, value: &mut Value, left: &mut usize) -> Option<()> {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *left = left.checked_sub(size(default))?;
        *value = default.clone();
    }
    fill(node, value, left)
}

/// About as many bytes as the value takes written.
fn size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + 4 + size(v)).sum::<usize>() + 2,
        Value::Array(list) => list.iter().map(|v| 1 + size(v)).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_fill_what_is_missing() {
        let number = json!({"type": "integer", "default": 1});
        let nullable = json!({"type": "string", "nullable": true, "default": "d"});
        for (schema, object, want) in [
            (json!({"properties": {"a": number}}), json!({}), json!({"a": 1})),
            (json!({"properties": {"a": number}}), json!({"a": 0}), json!({"a": 0})),
            (json!({"properties": {"a": number}}), json!({"a": null}), json!({"a": 1})),
            (json!({"properties": {"a": nullable}}), json!({"a": null}), json!({"a": null})),
            (json!({"properties": {"a": {"type": "string"}}}), json!({"a": null}), json!({})),
            (
                json!({"properties": {"a": {"type": "string", "nullable": true}}}),
                json!({"a": null}),
                json!({"a": null}),
            ),
            (json!({"properties": {"o": {"properties": {"a": number}}}}), json!({}), json!({})),
            (
                json!({"properties": {"o": {"default": {}, "properties": {"a": number}}}}),
                json!({}),
                json!({"o": {"a": 1}}),
            ),
            (
                json!({"properties": {"l": {"items": {"properties": {"a": number}}}}}),
                json!({"l": [{}, {"a": 2}]}),
                json!({"l": [{"a": 1}, {"a": 2}]}),
            ),
            (
                json!({"properties": {"m": {"additionalProperties": {"properties": {"a": number}}}}}),
                json!({"m": {"k": {}}}),
                json!({"m": {"k": {"a": 1}}}),
            ),
            (
                json!({"properties": {"l": {"items": number}}}),
                json!({"l": [null]}),
                json!({"l": [1]}),
            ),
        ] {
            let compiled = Schema::compile(&schema).unwrap();
            let mut object = object;
            compiled.apply_defaults(&mut object).unwrap();
            assert_eq!(object, want, "{schema}");
            compiled.apply_defaults(&mut object).unwrap();
            assert_eq!(object, want, "twice: {schema}");
        }
    }

    #[test]
    fn defaults_do_not_blow_an_object_up() {
        let schema = json!({"properties": {"l": {"items":
            {"properties": {"a": {"default": "x".repeat(1000)}}}}}});
        let mut object = json!({"l": vec![json!({}); 10_000]});
        let error = Schema::compile(&schema).unwrap().apply_defaults(&mut object).unwrap_err();
        assert!(error.to_string().contains("add more than"), "{error}");
    }
}
