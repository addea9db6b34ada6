//! The expressions of a policy, with what the compiler found.

use std::collections::HashSet;

use serde_json::Value;

use super::super::{
    FieldError,
    check::{Errors, each, items, one_of, text},
};
use crate::{
    cel::{Compiled, Policy, escape},
    name,
};

/// Most match conditions.
const CONDITIONS_MAX: usize = 64;
/// Longest expression of an annotation, bytes.
const ANNOTATION_MAX: usize = 5 * 1024;
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

/// One expression that must be there and compile.
pub(super) fn one(out: &mut Errors, path: String, expression: &str, compiled: &Compiled) {
    if expression.trim().is_empty() {
        out.push(FieldError::required(path, "expression is not specified"));
    } else if let Err(error) = compiled {
        out.push(FieldError::invalid(path, expression, error.to_string()));
    }
}

/// `matchConditions` of a policy or a webhook.
pub(crate) fn match_conditions(
    out: &mut Errors,
    at: &str,
    owner: &Value,
    compiled: &[(String, Compiled)],
) {
    let conditions = items(owner, "matchConditions");
    if conditions.len() > CONDITIONS_MAX {
        out.push(FieldError::too_many(at, conditions.len(), CONDITIONS_MAX));
    }
    let mut names = HashSet::new();
    for (i, (condition, (_, program))) in conditions.iter().zip(compiled).enumerate() {
        let at = format!("{at}[{i}]");
        let expression = text(condition, "expression").trim();
        match program {
            _ if expression.is_empty() => {
                out.push(FieldError::required(format!("{at}.expression"), ""));
            }
            Err(error) => {
                let path = format!("{at}.expression");
                out.push(FieldError::invalid(path, expression, error.to_string()));
            }
            Ok(_) => {}
        }
        let own = text(condition, "name");
        if own.is_empty() {
            out.push(FieldError::required(format!("{at}.name"), ""));
            continue;
        }
        each(out, &format!("{at}.name"), &condition["name"], name::qualified_name(own));
        if !names.insert(own) {
            out.push(FieldError::duplicate(format!("{at}.name"), own));
        }
    }
}

/// `variables`.
pub(super) fn variables(out: &mut Errors, spec: &Value, compiled: &Policy) {
    let variables = items(spec, "variables").iter().zip(&compiled.variables);
    for (i, (variable, (_, program))) in variables.enumerate() {
        let at = format!("spec.variables[{i}]");
        let own = text(variable, "name");
        if own.trim().is_empty() {
            out.push(FieldError::required(format!("{at}.name"), "name is not specified"));
        } else if !is_identifier(own) {
            let detail = "name is not a valid CEL identifier";
            out.push(FieldError::invalid(format!("{at}.name"), own, detail));
        }
        one(out, format!("{at}.expression"), text(variable, "expression"), program);
    }
}

/// Identifiers are what needs no escaping; two underscores in a row are fine here.
fn is_identifier(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    let keyword = escape(name).is_some_and(|e| e == format!("__{name}__"));
    first && !keyword && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// `validations`.
pub(super) fn validations(out: &mut Errors, spec: &Value, compiled: &Policy) {
    for (i, validation) in items(spec, "validations").iter().enumerate() {
        let at = format!("spec.validations[{i}]");
        let (expression, message) = (text(validation, "expression"), text(validation, "message"));
        if let Some(program) = compiled.validations.get(i) {
            one(out, format!("{at}.expression"), expression, program);
        }
        let by_expression = text(validation, "messageExpression");
        if !by_expression.is_empty() && by_expression.trim().is_empty() {
            let detail = "must be non-empty if specified";
            let path = format!("{at}.messageExpression");
            out.push(FieldError::invalid(path, by_expression, detail));
        } else if let Some(Some(Err(error))) = compiled.messages.get(i) {
            let path = format!("{at}.messageExpression");
            out.push(FieldError::invalid(path, by_expression, error.to_string()));
        }
        let detail = if message.is_empty() {
            None
        } else if message.trim().is_empty() {
            Some("message must be non-empty if specified")
        } else if message.trim().contains(['\n', '\r']) {
            Some("message must not contain line breaks")
        } else {
            None
        };
        if let Some(detail) = detail {
            out.push(FieldError::invalid(format!("{at}.message"), message, detail));
        }
        if !validation["reason"].is_null() {
            one_of(out, format!("{at}.reason"), &validation["reason"], REASONS);
        }
    }
}

/// `auditAnnotations`.
pub(super) fn annotations(out: &mut Errors, policy: &str, spec: &Value, compiled: &Policy) {
    let mut keys = HashSet::new();
    let annotations = items(spec, "auditAnnotations").iter().zip(&compiled.annotations);
    for (i, (annotation, program)) in annotations.enumerate() {
        let at = format!("spec.auditAnnotations[{i}]");
        let key = text(annotation, "key");
        let full = format!("{policy}/{key}");
        each(out, &format!("{at}.key"), &full.as_str().into(), name::qualified_name(&full));
        let path = format!("{at}.valueExpression");
        let expression = text(annotation, "valueExpression");
        if expression.trim().is_empty() {
            out.push(FieldError::required(path, "valueExpression is not specified"));
        } else if expression.trim().len() > ANNOTATION_MAX {
            let detail = format!("must not exceed {ANNOTATION_MAX} bytes in length");
            out.push(FieldError::required(path, detail));
        } else if let Err(error) = program {
            out.push(FieldError::invalid(path, expression, error.to_string()));
        }
        if !keys.insert(key) {
            out.push(FieldError::duplicate(format!("{at}.key"), key));
        }
    }
}
