//! Columns and rows of admission policies and their bindings.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, number, text as column},
    field::{items, text},
};

const UNSET: &str = "<unset>";

pub(crate) const VALIDATING: &[Column] = &[
    NAME,
    number("Validations", "How many validations there are."),
    column("ParamKind", "Kind of the parameters."),
    AGE,
];
pub(crate) const MUTATING: &[Column] = &[
    NAME,
    number("Mutations", "How many mutations there are."),
    column("ParamKind", "Kind of the parameters."),
    AGE,
];
pub(crate) const BINDINGS: &[Column] = &[
    NAME,
    column("PolicyName", "The policy that is bound."),
    column("ParamRef", "The parameters it is bound with."),
    AGE,
];

/// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy.
pub(crate) fn validating(object: &Value, now: OffsetDateTime) -> Row {
    policy(object, "/spec/validations", now)
}

/// `admissionregistration.k8s.io/v1` MutatingAdmissionPolicy.
pub(crate) fn mutating(object: &Value, now: OffsetDateTime) -> Row {
    policy(object, "/spec/mutations", now)
}

fn policy(object: &Value, list: &str, now: OffsetDateTime) -> Row {
    let params = if object["spec"]["paramKind"].is_object() {
        let part = |name: &str| text(object, &format!("/spec/paramKind/{name}")).to_owned();
        format!("{}/{}", part("apiVersion"), part("kind"))
    } else {
        UNSET.to_owned()
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        items(object, list).len().into(),
        params.into(),
        age(object, now),
    ])
}

/// `admissionregistration.k8s.io/v1` bindings of either kind of policy.
pub(crate) fn binding(object: &Value, now: OffsetDateTime) -> Row {
    let name = text(object, "/spec/paramRef/name");
    let params = if name.is_empty() { UNSET } else { name };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        text(object, "/spec/policyName").into(),
        params.into(),
        age(object, now),
    ])
}
