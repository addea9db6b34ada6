//! Names: plural, singular, kinds, short names, categories.

use serde_json::Value;

use super::{Errors, list, text};
use crate::{name, validate::FieldError};

/// Checks the names that are given; whether they must be is not checked here.
pub(super) fn check(out: &mut Errors, names: &Value, path: &str) {
    for field in ["plural", "singular"] {
        label(out, text(names, field), format!("{path}.{field}"), false);
    }
    for field in ["kind", "listKind"] {
        label(out, text(names, field), format!("{path}.{field}"), true);
    }
    for field in ["shortNames", "categories"] {
        if field == "categories" {
            same_kinds(out, names, path);
        }
        for (i, value) in list(&names[field]).iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            let faults = name::dns1035_label(value);
            if !faults.is_empty() {
                let path = format!("{path}.{field}[{i}]");
                out.push(FieldError::invalid(path, value, faults.join(",")));
            }
        }
    }
}

fn same_kinds(out: &mut Errors, names: &Value, path: &str) {
    let kind = text(names, "kind");
    if !kind.is_empty() && kind == text(names, "listKind") {
        let detail = "kind and listKind may not be the same";
        out.push(FieldError::invalid(format!("{path}.listKind"), kind, detail));
    }
}

fn label(out: &mut Errors, value: &str, path: String, mixed_case: bool) {
    let faults = if mixed_case {
        name::dns1035_label(&value.to_lowercase())
    } else {
        name::dns1035_label(value)
    };
    if value.is_empty() || faults.is_empty() {
        return;
    }
    let lead = if mixed_case { "may have mixed case, but should otherwise match: " } else { "" };
    out.push(FieldError::invalid(path, value, format!("{lead}{}", faults.join(","))));
}
