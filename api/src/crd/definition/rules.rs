//! `x-kubernetes-validations` in a definition: their form, and old values where there are none.

use serde_json::Value;

use super::{Errors, fields, list, present, text};
use crate::{
    crd::node::{Additional, ListType, Node},
    validate::FieldError,
};

const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The form of `x-kubernetes-validations`; whether the expressions compile is another question.
pub(super) fn form(out: &mut Errors, schema: &Value, path: &str) {
    for (i, rule) in list(&schema["x-kubernetes-validations"]).iter().enumerate() {
        let at = |field: &str| format!("{path}.x-kubernetes-validations[{i}].{field}");
        let given = |field: &str| text(rule, field);
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let (expression, message) = (given("rule").trim(), given("message").trim());
        if expression.is_empty() {
            out.push(FieldError::required(at("rule"), "rule is not specified"));
        } else if !given("message").is_empty() && message.is_empty() {
            let detail = "message must be non-empty if specified";
            out.push(FieldError::invalid(at("message"), given("message"), detail));
        } else if breaks(message) {
            let detail = "message must not contain line breaks";
            out.push(FieldError::invalid(at("message"), given("message"), detail));
        } else if breaks(expression) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            out.push(FieldError::required(at("message"), detail));
        }
        if !given("messageExpression").is_empty() && given("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            out.push(FieldError::required(at("messageExpression"), detail));
        }
        if let Some(reason) = rule["reason"].as_str().filter(|r| !REASONS.contains(r)) {
            out.push(FieldError::not_supported(at("reason"), reason, REASONS));
        }
        let field = given("fieldPath");
        if field.is_empty() {
            continue;
        }
        for (is_bad, detail) in [
            (field.trim().is_empty(), "fieldPath must be non-empty if specified"),
            (breaks(field), "fieldPath must not contain line breaks"),
            (fields::resolve(field, schema, true).is_err(), "fieldPath must be a valid path"),
        ] {
            if is_bad {
                out.push(FieldError::invalid(at("fieldPath"), field, detail));
            }
        }
    }
}

/// Rules about changes where nothing can be compared with what it was. `within` is the schema whose
/// parts have no past of their own.
pub(super) fn old_values(
    out: &mut Errors,
    node: &Node,
    schema: &Value,
    path: &str,
    within: Option<&str>,
) {
    if !node.has_rules {
        return;
    }
    for (i, known) in node.rules.iter().flat_map(|rules| rules.known()).enumerate() {
        let rule = &schema["x-kubernetes-validations"][i];
        let at = format!("{path}.x-kubernetes-validations[{i}]");
        if !known.uses_old
            && let Some(optional) = present(rule, "optionalOldSelf")
        {
            let detail = "may not be set if oldSelf is not used in rule";
            let path = format!("{at}.optionalOldSelf");
            out.push(FieldError::invalid(path, optional.clone(), detail));
        }
        if let Some(within) = within.filter(|_| known.uses_old) {
            let detail = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
            );
            out.push(FieldError::invalid(format!("{at}.rule"), text(rule, "rule"), detail));
        }
    }
    if let Additional::Schema(inner) = &node.additional {
        let path = format!("{path}.additionalProperties");
        old_values(out, inner, &schema["additionalProperties"], &path, within);
    }
    let fields = within.or(node.atomic_map.then_some(path));
    for (name, property) in &node.properties {
        let schema = &schema["properties"][name];
        old_values(out, property, schema, &format!("{path}.properties[{name}]"), fields);
    }
    if let Some(items) = &node.items {
        let keyed = matches!(node.list_type, ListType::Map(_));
        let within = within.or((!keyed).then_some(path));
        old_values(out, items, &schema["items"], &format!("{path}.items"), within);
    }
}
