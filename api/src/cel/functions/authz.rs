//! Kubernetes' authorizer library.

use std::sync::Arc;

use super::{Row, given, m, text};
use crate::cel::{
    authorizer::{Attributes, Check, Stage},
    error::{EvalError, failed},
    eval::Context,
    opaque::Opaque,
    value::Value,
};

/// What a question to the authorizer costs, upstream's units
/// (`k8s.io/apiserver/pkg/cel/library/cost.go`).
const CHECK_COST: usize = 350_000;

const GROUP: &str = "kubernetes.authorization.GroupCheck";
const PATH: &str = "kubernetes.authorization.PathCheck";
const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
const RESOURCE_TEXT: &str = "kubernetes.authorization.ResourceCheck,string";
const AUTHORIZER_TEXT: &str = "kubernetes.authorization.Authorizer,string";
const DECISION: &str = "kubernetes.authorization.Decision";

pub(super) const ROWS: &[Row] = &[
    m("path", AUTHORIZER_TEXT, PATH, |_, a| {
        if text(a, 1)?.is_empty() {
            return failed("path must not be empty");
        }
        step(a, Stage::Path, |at, text| at.path = Some(text))
    }),
    m("group", AUTHORIZER_TEXT, GROUP, |_, a| step(a, Stage::Group, |at, text| at.group = text)),
    m(
        "serviceAccount",
        "kubernetes.authorization.Authorizer,string,string",
        "kubernetes.authorization.Authorizer",
        service_account,
    ),
    m("resource", "kubernetes.authorization.GroupCheck,string", RESOURCE, |_, a| {
        step(a, Stage::Resource, |at, text| at.resource = text)
    }),
    m("subresource", RESOURCE_TEXT, RESOURCE, |_, a| {
        step(a, Stage::Resource, |at, text| at.subresource = text)
    }),
    m("namespace", RESOURCE_TEXT, RESOURCE, |_, a| {
        step(a, Stage::Resource, |at, text| at.namespace = text)
    }),
    m("name", RESOURCE_TEXT, RESOURCE, |_, a| step(a, Stage::Resource, |at, text| at.name = text)),
    m("fieldSelector", RESOURCE_TEXT, RESOURCE, |_, a| {
        step(a, Stage::Resource, |at, text| at.field_selector = Some(text))
    }),
    m("labelSelector", RESOURCE_TEXT, RESOURCE, |_, a| {
        step(a, Stage::Resource, |at, text| at.label_selector = Some(text))
    }),
    m("check", RESOURCE_TEXT, DECISION, check),
    m("check", "kubernetes.authorization.PathCheck,string", DECISION, check),
    m("allowed", DECISION, "bool", |_, a| {
        given!(a, Value::Opaque(Opaque::Decision(d)));
        Ok(Value::Bool(d.allowed))
    }),
    m("reason", DECISION, "string", |_, a| {
        given!(a, Value::Opaque(Opaque::Decision(d)));
        Ok(Value::text(d.reason.as_str()))
    }),
    m("errored", DECISION, "bool", |_, a| {
        given!(a, Value::Opaque(Opaque::Decision(d)));
        Ok(Value::Bool(d.error.is_some()))
    }),
    m("error", DECISION, "string", |_, a| {
        given!(a, Value::Opaque(Opaque::Decision(d)));
        Ok(Value::text(d.error.clone().unwrap_or_default()))
    }),
];

fn made<'a>(stage: Stage, attributes: Attributes) -> Value<'a> {
    Value::Opaque(Opaque::Check(Arc::new(Check { stage, attributes })))
}

fn step<'a>(
    args: &[Value<'a>],
    stage: Stage,
    set: fn(&mut Attributes, String),
) -> Result<Value<'a>, EvalError> {
    given!(args, Value::Opaque(Opaque::Check(check)), _);
    let mut attributes = check.attributes.clone();
    set(&mut attributes, text(args, 1)?.to_owned());
    Ok(made(stage, attributes))
}

fn service_account<'a>(
    _: &mut Context<'_, 'a>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    given!(args, Value::Opaque(Opaque::Check(check)), _, _);
    let mut attributes = check.attributes.clone();
    let (namespace, name) = (text(args, 1)?.to_owned(), text(args, 2)?.to_owned());
    if !crate::name::dns1123_label(&namespace).is_empty() {
        return failed("Invalid service account namespace");
    }
    if !crate::name::dns1123_subdomain(&name).is_empty() {
        return failed("Invalid service account name");
    }
    attributes.service_account = Some((namespace, name));
    Ok(made(Stage::Authorizer, attributes))
}

fn check<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    given!(args, Value::Opaque(Opaque::Check(check)), _);
    c.charge(CHECK_COST)?;
    let mut attributes = check.attributes.clone();
    attributes.verb = text(args, 1)?.to_owned();
    let Some(authorizer) = c.authorizer() else { return failed("no authorizer") };
    Ok(Value::Opaque(Opaque::Decision(Arc::new(authorizer.check(&attributes)))))
}
