//! ValidatingAdmissionPolicy (apiserver `pkg/admission/plugin/policy/validating`).

use std::collections::BTreeMap;

use kabuki_api::{
    cel::{self, Budget, RUNTIME_BUDGET, Variables},
    status::Status,
};
use serde_json::{Value, json};

use super::{
    super::{Attributes, Registry},
    add_cause, conditions,
    input::{self, Asker, Input, worded},
    loaded::{Binding, Definition},
    params, refused, validating_definitions,
};
use crate::registry::object::text;

/// Longest message an expression may give, bytes.
const MESSAGE_MAX: usize = 5 * 1024;
/// Longest value of an annotation, bytes.
const ANNOTATION_MAX: usize = 10 * 1024;
const FAILURE_KEY: &str = "validation.policy.admission.k8s.io/validation_failure";

/// Why a request is to be denied.
#[derive(Debug, PartialEq)]
struct Denial {
    message: String,
    /// Reason of the status; empty is `Invalid`.
    reason: String,
    /// Which validation it was.
    index: usize,
}

/// What one evaluation says.
#[derive(Debug, Default)]
struct Outcome {
    denials: Vec<Denial>,
    /// Errors of annotations: they deny whatever the binding's actions are.
    errors: Vec<String>,
    annotations: Vec<(String, String)>,
}

/// Asks the policies about `object` (`Null` for a delete).
///
/// # Errors
/// What the first policy that denies it says.
pub(in super::super) async fn validate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Status> {
    let mut first: Option<(String, String)> = None;
    for definition in validating_definitions(registry).iter() {
        let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut deny = |binding: Option<&Binding>, message: &str, reason: &str| {
            let by = binding.map_or_else(String::new, |b| format!(" with binding '{}'", b.name));
            let name = &definition.name;
            let message =
                format!("ValidatingAdmissionPolicy '{name}'{by} denied request: {message}");
            first.get_or_insert((message, reason.to_owned()));
        };
        let kind = match definition.matcher.wanted(registry, attributes, object, false) {
            Ok(Some(kind)) => kind,
            Ok(None) => continue,
            Err(error) if definition.ignores_failure => {
                tracing::debug!(policy = definition.name, error, "policy not asked");
                continue;
            }
            Err(error) => {
                deny(None, &format!("failed to configure policy: {error}"), "");
                continue;
            }
        };
        let input = Input::new(registry, attributes, kind, object);
        for binding in &definition.bindings {
            let outcomes = evaluations(registry, attributes, definition, binding, &input, object);
            match outcomes {
                Ok(outcomes) => {
                    for outcome in outcomes {
                        let denied = act(attributes, definition, binding, &outcome);
                        for denial in denied {
                            deny(Some(binding), &denial.message, &denial.reason);
                        }
                        for error in &outcome.errors {
                            deny(Some(binding), error, "");
                        }
                        for (key, value) in outcome.annotations {
                            let values = annotations.entry(key).or_default();
                            if !values.contains(&value) {
                                values.push(value);
                            }
                        }
                    }
                }
                Err(_) if definition.ignores_failure => {}
                Err(error) => {
                    deny(Some(binding), &format!("failed to configure binding: {error}"), "");
                }
            }
            tokio::task::yield_now().await;
        }
        for (key, values) in annotations {
            attributes.notes().annotate(&format!("{}/{key}", definition.name), &values.join(", "));
        }
    }
    first.map_or(Ok(()), |(message, reason)| Err(denied(attributes, object, &message, &reason)))
}

fn denied(attributes: &Attributes<'_>, object: &Value, message: &str, reason: &str) -> Status {
    let mut status = refused(attributes, object, message);
    status.reason = if reason.is_empty() { "Invalid" } else { reason }.to_owned();
    status.code = match reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    };
    add_cause(&mut status, message);
    status
}

/// What a binding does about denials; those that deny the request back.
fn act<'o>(
    attributes: &Attributes<'_>,
    definition: &Definition,
    binding: &Binding,
    outcome: &'o Outcome,
) -> Vec<&'o Denial> {
    let actions = &binding.spec()["validationActions"];
    let has = |action: &str| actions.as_array().into_iter().flatten().any(|a| a == action);
    for denial in &outcome.denials {
        let message = &denial.message;
        if has("Audit") {
            let value = json!([{"message": message, "policy": definition.name,
                "binding": binding.name, "expressionIndex": denial.index,
                "validationActions": actions}]);
            attributes.notes().annotate(FAILURE_KEY, &value.to_string());
        }
        if has("Warn") {
            attributes.notes().warn(&format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                definition.name, binding.name
            ));
        }
    }
    if has("Deny") { outcome.denials.iter().collect() } else { Vec::new() }
}

/// One evaluation for each parameter object of a binding.
fn evaluations(
    registry: &Registry,
    attributes: &Attributes<'_>,
    definition: &Definition,
    binding: &Binding,
    input: &Input,
    object: &Value,
) -> Result<Vec<Outcome>, String> {
    if let Some(matcher) = &binding.matcher
        && matcher.wanted(registry, attributes, object, true)?.is_none()
    {
        return Ok(Vec::new());
    }
    let (policy, bound) = (definition.spec(), binding.spec());
    let found = params::collect(registry, policy, bound, attributes.namespace)?;
    let asker = Asker::new(registry, &attributes.info.user);
    let outcome = |params: Option<&Value>| {
        let compiled = &definition.compiled;
        let plain = input.variables(None, params, &asker);
        match conditions::hold(policy, &compiled.conditions, &plain) {
            Ok(true) => evaluate(definition, &input.variables(Some(compiled), params, &asker)),
            Ok(false) => Outcome::default(),
            Err(_) if definition.ignores_failure => Outcome::default(),
            Err(message) => {
                let denial = Denial { message, reason: String::new(), index: 0 };
                Outcome { denials: vec![denial], ..Outcome::default() }
            }
        }
    };
    Ok(found
        .iter()
        .map(|param| {
            let value = param.as_ref().map(|object| input::param(object));
            outcome(value.as_ref())
        })
        .collect())
}

fn evaluate(definition: &Definition, variables: &Variables<'_>) -> Outcome {
    let spec = definition.spec();
    let mut out = Outcome::default();
    let mut budget = Budget::new(RUNTIME_BUDGET);
    for (index, program) in definition.compiled.validations.iter().enumerate() {
        let validation = &spec["validations"][index];
        let expression = text(validation, "expression");
        let failure = match program {
            Err(error) => format!("compilation error: {error}"),
            Ok(program) => match program.eval(variables, &mut budget) {
                Ok(cel::Value::Bool(true)) => continue,
                Ok(_) => {
                    let message = message(definition, index, variables, &mut budget);
                    let reason = text(validation, "reason").to_owned();
                    out.denials.push(Denial { message, reason, index });
                    continue;
                }
                Err(error) => worded(expression, &error),
            },
        };
        if !definition.ignores_failure {
            out.denials.push(Denial { message: failure, reason: String::new(), index });
        }
        if budget.left() == 0 {
            return out;
        }
    }
    annotate(definition, variables, &mut out);
    out
}

/// The text of a validation that is not met.
fn message(
    definition: &Definition,
    index: usize,
    variables: &Variables<'_>,
    budget: &mut Budget,
) -> String {
    let validation = &definition.spec()["validations"][index];
    if let Some(Some(Ok(program))) = definition.compiled.messages.get(index)
        && let Ok(cel::Value::String(made)) = program.eval(variables, budget)
    {
        let made = made.as_str().trim();
        if !made.is_empty() && made.len() <= MESSAGE_MAX && !made.contains('\n') {
            return made.to_owned();
        }
    }
    match text(validation, "message").trim() {
        "" => format!("failed expression: {}", text(validation, "expression").trim()),
        message => message.to_owned(),
    }
}

fn annotate(definition: &Definition, variables: &Variables<'_>, out: &mut Outcome) {
    let mut budget = Budget::new(RUNTIME_BUDGET);
    for (index, program) in definition.compiled.annotations.iter().enumerate() {
        let annotation = &definition.spec()["auditAnnotations"][index];
        let failure = match program {
            Err(error) => format!("compilation error: {error}"),
            Ok(program) => match program.eval(variables, &mut budget) {
                Ok(cel::Value::String(value)) => {
                    let value = value.as_str().trim();
                    let end = value.floor_char_boundary(ANNOTATION_MAX);
                    if !value.is_empty() {
                        let key = text(annotation, "key").to_owned();
                        out.annotations.push((key, value[..end].to_owned()));
                    }
                    continue;
                }
                Ok(_) => continue,
                Err(error) => worded(text(annotation, "valueExpression").trim(), &error),
            },
        };
        if !definition.ignores_failure {
            out.errors.push(failure);
        }
    }
}
