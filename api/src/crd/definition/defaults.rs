//! Defaults in a schema must be what the schema allows (`schema/defaulting/validation.go`).

use serde_json::Value;

use super::Errors;
use crate::{
    crd::{DEFAULTED_BYTES_MAX, ROOT, embedded, node::Node, prune, rules, value},
    validate::FieldError,
};

/// Checks the defaults of a compiled schema and of all declared in it. Defaults below
/// `additionalProperties` are not followed, as upstream.
pub(super) fn check(root: &Node, path: &str) -> Errors {
    let mut out = Vec::new();
    let mut left = DEFAULTED_BYTES_MAX;
    walk(&mut out, root, path, true, false, &mut left);
    out
}

fn walk(out: &mut Errors, node: &Node, path: &str, is_root: bool, in_meta: bool, left: &mut usize) {
    let in_meta = in_meta && !node.embedded;
    if let Some(default) = &node.default {
        let path = format!("{path}.default");
        // Defaults inside defaults are looked at again and again: only so much of it.
        *left = left.saturating_sub(default.to_string().len());
        if *left == 0 {
            let detail = format!(
                "the defaults of a schema may not be more than {DEFAULTED_BYTES_MAX} bytes together"
            );
            out.push(FieldError::forbidden(path, detail));
            return;
        }
        one(out, node, default, &path, in_meta);
    }
    if let Some(items) = &node.items {
        walk(out, items, &format!("{path}.items"), false, in_meta, left);
    }
    for (name, property) in &node.properties {
        let in_meta = in_meta || node.is_meta(is_root, name);
        let path = format!("{path}.properties[{name}]");
        walk(out, property, &path, false, in_meta, left);
    }
}

fn one(out: &mut Errors, node: &Node, default: &Value, path: &str, in_meta: bool) {
    if !in_meta {
        let mut pruned = default.clone();
        prune::prune_node(node, &mut pruned, node.embedded);
        if pruned != *default {
            let detail = "must not have unknown fields";
            out.push(FieldError::invalid(path, default.clone(), detail));
        }
        let found = embedded::check_at(node, default, path);
        if !found.is_empty() {
            out.extend(found);
            return;
        }
    }
    let mut found = value::check_value(node, default, None, "");
    if found.is_empty() {
        found = rules::check_default(node, default);
    }
    out.extend(found.into_iter().map(|mut error| {
        error.path = match error.path.as_str() {
            ROOT => path.to_owned(),
            inner if inner.starts_with('[') => format!("{path}{inner}"),
            inner => format!("{path}.{inner}"),
        };
        error
    }));
}
