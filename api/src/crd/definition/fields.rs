//! Paths to fields of a schema: selectable fields, and where a rule puts its error
//! (`schema/cel/validation.go`, `ValidFieldPath`).

use serde_json::Value;

use super::{Errors, list, text};
use crate::validate::FieldError;

/// Most fields a version can be selected by.
const SELECTABLE_MAX: usize = 8;

/// Checks `selectableFields` of a version.
pub(super) fn selectable(out: &mut Errors, version: &Value, path: &str) {
    let fields = list(&version["selectableFields"]);
    let schema = &version["schema"]["openAPIV3Schema"];
    if !fields.is_empty() && schema.is_null() {
        let detail =
            "selectableFields may only be set when version.schema.openAPIV3Schema is not included";
        out.push(FieldError::invalid(path, "", detail));
        return;
    }
    let mut known: Vec<String> = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let path = format!("{path}[{i}].jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            out.push(FieldError::required(path, ""));
            continue;
        }
        let (found, at) = match resolve(given, schema, false) {
            Ok(found) => found,
            Err(why) => {
                out.push(FieldError::invalid(path, given, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if at.starts_with("metadata.") || at == "metadata" {
            let detail = "must not point to fields in metadata";
            out.push(FieldError::invalid(path.clone(), given, detail));
        }
        if !["string", "boolean", "integer"].contains(&text(found, "type")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            out.push(FieldError::invalid(path.clone(), given, detail));
        }
        if known.contains(&at) {
            out.push(FieldError::duplicate(path, given));
        } else {
            known.push(at);
        }
    }
    if known.len() > SELECTABLE_MAX {
        out.push(FieldError::too_many(path, known.len(), SELECTABLE_MAX));
    }
}

/// The schema that a path such as `.spec.list['a b']` leads to, and the path in the form of errors:
/// `spec.list[a b]`. Lists have no items by name, so no path goes into them.
pub(in crate::crd) fn resolve<'s>(
    path: &str,
    schema: &'s Value,
    brackets: bool,
) -> Result<(&'s Value, String), String> {
    if path.is_empty() {
        return Err("must not be empty".into());
    }
    let mut at = String::new();
    let mut node = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let (name, left) = step(rest, brackets)?;
        rest = left;
        if let Some(property) = node["properties"].get(&name) {
            node = property;
            let dot = if at.is_empty() { "" } else { "." };
            at.push_str(&format!("{dot}{name}"));
        } else if node["additionalProperties"].is_object() {
            node = &node["additionalProperties"];
            at.push_str(&format!("[{name}]"));
        } else {
            return Err("does not refer to a valid field".into());
        }
    }
    Ok((node, at))
}

/// The name of the next step and what is left.
fn step(rest: &str, brackets: bool) -> Result<(String, &str), String> {
    if let Some(after) = rest.strip_prefix("['").filter(|_| brackets) {
        let mut name = String::new();
        let mut chars = after.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '\'' => {
                    let left = after[at + 1..].strip_prefix(']');
                    let left = left.ok_or("expected ] after a quoted name")?;
                    return Ok((name, left));
                }
                c => name.push(c),
            }
        }
        return Err("unterminated quoted name".into());
    }
    if rest.starts_with('[') {
        return Err(if brackets {
            "expected ' after [".into()
        } else {
            "array notation is not allowed".into()
        });
    }
    let after = rest.strip_prefix('.').ok_or("expected [ or . but got: ".to_owned() + rest)?;
    let end = after.find(['.', '[']).unwrap_or(after.len());
    let name = &after[..end];
    if name.is_empty()
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
    {
        return Err(format!("expected a field name after . but got: {after}"));
    }
    Ok((name.to_owned(), &after[end..]))
}
