//! Every field that a value validation speaks of must be declared outside of it
//! (`schema/complete.go`).

use serde_json::Value;

use super::{Errors, list, present};
use crate::validate::FieldError;

/// Checks a schema and all declared below it.
pub(super) fn check(out: &mut Errors, schema: &Value, path: &str) {
    junctions(out, schema, Some(schema), path, path);
    if let Some(items) = present(schema, "items").filter(|items| items.is_object()) {
        check(out, items, &format!("{path}.items"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check(out, property, &format!("{path}.properties[{name}]"));
    }
    if let Some(inner) = present(schema, "additionalProperties").filter(|s| s.is_object()) {
        check(out, inner, &format!("{path}.additionalProperties"));
    }
}

/// `schema` is what is declared at `path`, and `validation` what is said of it at `from`.
fn junctions(out: &mut Errors, validation: &Value, schema: Option<&Value>, path: &str, from: &str) {
    if let Some(not) = present(validation, "not") {
        nested(out, not, schema, path, &format!("{from}.not"));
    }
    for junction in ["allOf", "anyOf", "oneOf"] {
        for (i, inner) in list(&validation[junction]).iter().enumerate() {
            nested(out, inner, schema, path, &format!("{from}.{junction}[{i}]"));
        }
    }
}

fn nested(out: &mut Errors, validation: &Value, schema: Option<&Value>, path: &str, from: &str) {
    let Some(declared) = schema else {
        out.push(FieldError::required(path, format!("because it is defined in {from}")));
        return;
    };
    junctions(out, validation, schema, path, from);
    if let Some(items) = present(validation, "items").filter(|items| items.is_object()) {
        let inner = present(declared, "items");
        nested(out, items, inner, &format!("{path}.items"), &format!("{from}.items"));
    }
    for (name, property) in validation["properties"].as_object().into_iter().flatten() {
        let inner = present(&declared["properties"], name);
        let step = format!(".properties[{name}]");
        nested(out, property, inner, &format!("{path}{step}"), &format!("{from}{step}"));
    }
}
