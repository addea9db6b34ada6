//! Admission policies and their bindings (k8s
//! pkg/apis/admissionregistration/validation/validation.go). Expressions are compiled here, so that
//! what cannot run is not stored.

mod expressions;
mod resources;

pub(crate) use expressions::match_conditions;
use serde_json::Value;

use self::resources::match_resources;
use super::{
    FieldError,
    check::{Errors, each, items, label_selector, one_of, text},
};
use crate::{cel::Policy, name};

/// Most annotations of a policy.
const ANNOTATIONS_MAX: usize = 20;
const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];
const ONE_ITEM: &str = "validations or auditAnnotations must contain at least one item";
const EXCLUSIVE: &str = "name and selector are mutually exclusive";
const DENY_AND_WARN: &str = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";

/// What both kinds of policy have.
fn policy(out: &mut Errors, spec: &Value, compiled: &Policy) {
    one_of(out, "spec.failurePolicy".into(), &spec["failurePolicy"], FAILURE_POLICIES);
    if spec["paramKind"].is_object() {
        param_kind(out, &spec["paramKind"]);
    }
    if spec["matchConstraints"].is_object() {
        match_resources(out, "spec.matchConstraints", &spec["matchConstraints"]);
        if items(&spec["matchConstraints"], "resourceRules").is_empty() {
            out.push(FieldError::required("spec.matchConstraints.resourceRules", ""));
        }
    } else {
        out.push(FieldError::required("spec.matchConstraints", ""));
    }
    match_conditions(out, "spec.matchConditions", spec, &compiled.conditions);
    expressions::variables(out, spec, compiled);
}

/// ValidatingAdmissionPolicy.
pub(crate) fn validating(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let compiled = Policy::compile(object);
    policy(out, spec, &compiled);
    let annotations = items(spec, "auditAnnotations");
    if items(spec, "validations").is_empty() && annotations.is_empty() {
        out.push(FieldError::required("spec.validations", ONE_ITEM));
        out.push(FieldError::required("spec.auditAnnotations", ONE_ITEM));
        return;
    }
    expressions::validations(out, spec, &compiled);
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        let value = spec["auditAnnotations"].clone();
        out.push(FieldError::invalid("spec.auditAnnotations", value, detail));
    }
    expressions::annotations(out, text(&object["metadata"], "name"), spec, &compiled);
}

/// MutatingAdmissionPolicy.
pub(crate) fn mutating(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let compiled = Policy::compile(object);
    policy(out, spec, &compiled);
    let mutations = items(spec, "mutations");
    if mutations.is_empty() {
        out.push(FieldError::required(
            "spec.mutations",
            "mutations must contain at least one item",
        ));
    }
    for (i, (mutation, (_, program))) in mutations.iter().zip(&compiled.mutations).enumerate() {
        let at = format!("spec.mutations[{i}]");
        one_of(out, format!("{at}.patchType"), &mutation["patchType"], PATCH_TYPES);
        let (wanted, other) = match text(mutation, "patchType") {
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            _ => continue,
        };
        let kind = text(mutation, "patchType");
        if mutation[other].is_object() {
            let detail = format!("must not be specified when patchType is {kind}");
            out.push(FieldError::invalid(format!("{at}.{other}"), "{...}", detail));
        }
        if mutation[wanted].is_object() {
            let path = format!("{at}.{wanted}.expression");
            expressions::one(out, path, text(&mutation[wanted], "expression"), program);
        } else {
            let detail = format!("must be specified when patchType is {kind}");
            out.push(FieldError::required(format!("{at}.{wanted}"), detail));
        }
    }
    one_of(
        out,
        "spec.reinvocationPolicy".into(),
        &spec["reinvocationPolicy"],
        REINVOCATION_POLICIES,
    );
}

fn param_kind(out: &mut Errors, kind: &Value) {
    let at = "spec.paramKind";
    let version_path = format!("{at}.apiVersion");
    match text(kind, "apiVersion") {
        "" => out.push(FieldError::required(version_path, "")),
        full if full.matches('/').count() > 1 => {
            let detail = format!("unexpected GroupVersion string: {full}");
            out.push(FieldError::invalid(version_path, full, detail));
        }
        full => {
            let (group, version) = full.split_once('/').unwrap_or(("", full));
            let wrong = if group.is_empty() { Vec::new() } else { name::dns1123_subdomain(group) };
            if !wrong.is_empty() {
                out.push(FieldError::invalid(version_path.as_str(), group, wrong.join(",")));
            }
            let wrong = name::dns1035_label(version);
            if version.is_empty() {
                let detail = "version must be specified";
                out.push(FieldError::invalid(version_path, full, detail));
            } else if !wrong.is_empty() {
                out.push(FieldError::invalid(version_path, version, wrong.join(",")));
            }
        }
    }
    let own = text(kind, "kind");
    let wrong = name::dns1035_label(&own.to_lowercase());
    if own.is_empty() {
        out.push(FieldError::required(format!("{at}.kind"), ""));
    } else if !wrong.is_empty() {
        let detail =
            format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        out.push(FieldError::invalid(format!("{at}.kind"), own, detail));
    }
}

fn binding(out: &mut Errors, spec: &Value) {
    let policy = &spec["policyName"];
    super::check::required_name(out, "spec.policyName", policy, name::dns1123_subdomain);
    param_ref(out, &spec["paramRef"]);
    if spec["matchResources"].is_object() {
        // The path is misspelt upstream too.
        match_resources(out, "spec.matchResouces", &spec["matchResources"]);
    }
}

/// ValidatingAdmissionPolicyBinding.
pub(crate) fn validating_binding(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    binding(out, spec);
    let (at, actions) = ("spec.validationActions", items(spec, "validationActions"));
    let mut seen = Vec::new();
    for (i, action) in actions.iter().filter_map(Value::as_str).enumerate() {
        let path = format!("{at}[{i}]");
        if !ACTIONS.contains(&action) {
            out.push(FieldError::not_supported(path.as_str(), action, ACTIONS));
        }
        if seen.contains(&action) {
            out.push(FieldError::duplicate(path, action));
        } else {
            seen.push(action);
        }
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        out.push(FieldError::invalid(at, spec["validationActions"].clone(), DENY_AND_WARN));
    }
    if actions.is_empty() {
        out.push(FieldError::required(at, "at least one validation action is required"));
    }
}

/// MutatingAdmissionPolicyBinding.
pub(crate) fn mutating_binding(out: &mut Errors, object: &Value) {
    binding(out, &object["spec"]);
}

fn param_ref(out: &mut Errors, reference: &Value) {
    if !reference.is_object() {
        return;
    }
    let at = "spec.paramRef";
    let (own, selector) = (text(reference, "name"), &reference["selector"]);
    if !own.is_empty() {
        each(out, &format!("{at}.name"), &reference["name"], name::path_segment(own));
    }
    if !own.is_empty() && selector.is_object() {
        out.push(FieldError::forbidden(format!("{at}.name"), EXCLUSIVE));
    }
    if selector.is_object() {
        label_selector(out, &format!("{at}.selector"), selector);
        if !own.is_empty() {
            out.push(FieldError::forbidden(format!("{at}.selector"), EXCLUSIVE));
        }
    }
    if own.is_empty() && !selector.is_object() {
        out.push(FieldError::required(at, "one of name or selector must be specified"));
    }
    let action = &reference["parameterNotFoundAction"];
    one_of(out, format!("{at}.parameterNotFoundAction"), action, &["Deny", "Allow"]);
}

#[cfg(test)]
mod tests;
