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

/// The schema that a path such as `.spec.map['a b']` leads to, and the path in the form of errors:
/// `spec.map[a b]`. Lists have no items by name, so no path goes into them.
pub(in crate::crd) fn resolve<'s>(
    path: &str,
    schema: &'s Value,
    brackets: bool,
) -> Result<(&'s Value, String), String> {
    const NOWHERE: &str = "does not refer to a valid field";
    let mut at = String::new();
    let mut node = schema;
    let mut rest = path;
    while !rest.is_empty() {
        let (name, left) = step(rest, brackets)?;
        rest = left;
        if node["properties"].is_object() {
            node = node["properties"].get(&name).ok_or(NOWHERE)?;
            let dot = if at.is_empty() { "" } else { "." };
            at.push_str(&format!("{dot}{name}"));
        } else if node["additionalProperties"].is_object() {
            node = &node["additionalProperties"];
            at.push_str(&format!("[{name}]"));
        } else {
            return Err(NOWHERE.into());
        }
    }
    Ok((node, at))
}

/// The name of the next step and what is left.
fn step(rest: &str, brackets: bool) -> Result<(String, &str), String> {
    const END: &str = "unexpected end of JSON path";
    let token = |text: &str| {
        let end = text.find(['.', '[', ']']).unwrap_or(text.len());
        text[..end.max(text.chars().next().map_or(0, char::len_utf8))].to_owned()
    };
    if let Some(after) = rest.strip_prefix('[') {
        if !brackets {
            return Err("array notation is not allowed".into());
        }
        if after.is_empty() {
            return Err(END.into());
        }
        let Some(quoted) = after.strip_prefix('\'') else {
            return Err(format!("expected single quoted string but got {}", token(after)));
        };
        let (name, left) = unquote(quoted)?;
        return match left.strip_prefix(']') {
            Some(left) => Ok((name, left)),
            None if left.is_empty() => Err(END.into()),
            None => Err(format!("expected ] but got {}", token(left))),
        };
    }
    let Some(after) = rest.strip_prefix('.') else {
        return Err(format!("expected [ or . but got: {}", token(rest)));
    };
    if after.is_empty() {
        return Err(END.into());
    }
    let name = token(after);
    let left = &after[name.len()..];
    Ok((name, left))
}

/// A name up to its closing quote, and what is left.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('\'' | '\\'))) => name.push(c),
                Some((_, c)) => match "abfnrtv".find(c) {
                    Some(i) => name.push(char::from(b"\x07\x08\x0c\n\r\t\x0b"[i])),
                    None => {
                        return Err(format!("invalid string literal: invalid escape char \\{c}"));
                    }
                },
                None => break,
            },
            '\'' => return Ok((name, &text[at + 1..])),
            c => name.push(c),
        }
    }
    Err(format!("expected single quoted string but got '{text}"))
}
