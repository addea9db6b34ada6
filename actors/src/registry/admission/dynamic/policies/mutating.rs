//! MutatingAdmissionPolicy (apiserver `pkg/admission/plugin/policy/mutating`): each sees what the
//! one before left. Those that want it are asked once more when a later one changed the object.

use std::sync::Arc;

use kabuki_api::{
    cel::{Budget, Program, RUNTIME_BUDGET},
    defaults, patch,
    status::Status,
};
use serde_json::Value;

use super::{
    super::{Attributes, Registry},
    add_cause, conditions,
    input::{self, Asker, Input, worded},
    loaded::{Binding, Definition},
    mutating_definitions, params, refused,
};
use crate::registry::{Object, object::text};

/// One policy with one binding and one parameter object.
struct Invocation {
    definition: Arc<Definition>,
    binding: usize,
    param: Option<Arc<Object>>,
}

/// What a policy says against a request.
struct Fault {
    message: String,
    invalid: bool,
}

/// Lets the policies change `object`; answers whether they did. `again`: webhooks did, and only
/// those policies are asked that want to be asked once more.
///
/// # Errors
/// What the first policy that fails says, unless it is to be ignored.
pub(in super::super) async fn mutate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &mut Value,
    again: bool,
) -> Result<bool, Status> {
    let mut faults = Vec::new();
    let mut invocations = invocations(registry, attributes, object, &mut faults);
    let reinvoked = |i: &Invocation| i.definition.spec()["reinvocationPolicy"] == "IfNeeded";
    invocations.retain(|i| !again || reinvoked(i));
    let before = object.clone();
    let mut asked_before_change = vec![false; invocations.len()];
    for (place, invocation) in invocations.iter().enumerate() {
        if invoke(registry, attributes, invocation, object, &mut faults) {
            asked_before_change[..place].fill(true);
        }
        tokio::task::yield_now().await;
    }
    for (invocation, changed_since) in invocations.iter().zip(asked_before_change) {
        if changed_since && reinvoked(invocation) {
            invoke(registry, attributes, invocation, object, &mut faults);
            tokio::task::yield_now().await;
        }
    }
    let Some(first) = faults.first() else { return Ok(*object != before) };
    let mut status = refused(attributes, object, "admission request denied by policy");
    status.message.clone_from(&first.message);
    if first.invalid {
        status.reason = "Invalid".to_owned();
    }
    for fault in &faults {
        add_cause(&mut status, &fault.message);
    }
    Err(status)
}

fn fault(definition: &Definition, binding: Option<&Binding>, message: &str) -> String {
    match binding {
        Some(binding) => format!(
            "policy '{}' with binding '{}' denied request: {message}",
            definition.name, binding.name
        ),
        None => format!("policy \"{}\" denied request: {message}", definition.name),
    }
}

/// What is to be invoked, in order; how policies are configured wrongly goes to `faults`.
fn invocations(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &Value,
    faults: &mut Vec<Fault>,
) -> Vec<Invocation> {
    let mut out = Vec::new();
    for definition in mutating_definitions(registry).iter() {
        let mut wrong = |binding: Option<&Binding>, error: &str| {
            let what = if binding.is_some() { "binding" } else { "policy" };
            let error = format!("failed to configure {what}: {error}");
            if !definition.ignores_failure {
                let message = fault(definition, binding, &error);
                faults.push(Fault { message, invalid: false });
            }
        };
        match definition.matcher.wanted(registry, attributes, object, false) {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(error) => {
                wrong(None, &error);
                continue;
            }
        }
        for (place, binding) in definition.bindings.iter().enumerate() {
            let matched = binding.matcher.as_ref().map_or(Ok(true), |m| {
                m.wanted(registry, attributes, object, true).map(|kind| kind.is_some())
            });
            let found = match matched {
                Ok(false) => continue,
                Ok(true) => params::collect(
                    registry,
                    definition.spec(),
                    binding.spec(),
                    attributes.namespace,
                ),
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => out.extend(found.into_iter().map(|param| Invocation {
                    definition: Arc::clone(definition),
                    binding: place,
                    param,
                })),
                Err(error) => wrong(Some(binding), &error),
            }
        }
    }
    out
}

/// Runs the mutations of one invocation; answers whether they changed the object.
fn invoke(
    registry: &Registry,
    attributes: &Attributes<'_>,
    invocation: &Invocation,
    object: &mut Value,
    faults: &mut Vec<Fault>,
) -> bool {
    let definition = &*invocation.definition;
    let binding = &definition.bindings[invocation.binding];
    let before = object.clone();
    if let Err(message) = mutations(registry, attributes, invocation, object)
        && !definition.ignores_failure
    {
        let message = fault(definition, Some(binding), &message);
        faults.push(Fault { message, invalid: true });
    }
    *object != before
}

fn mutations(
    registry: &Registry,
    attributes: &Attributes<'_>,
    invocation: &Invocation,
    object: &mut Value,
) -> Result<(), String> {
    let definition = &*invocation.definition;
    let asker = Asker::new(registry, &attributes.info.user);
    let param = invocation.param.as_ref().map(|object| input::param(object));
    let Ok(Some(kind)) = definition.matcher.wanted(registry, attributes, object, false) else {
        return Ok(());
    };
    let mut input = Input::new(registry, attributes, kind, object);
    let plain = input.variables(None, param.as_ref(), &asker);
    let compiled = &definition.compiled;
    if !conditions::hold(definition.spec(), &compiled.conditions, &plain)? {
        return Ok(());
    }
    if !object.is_object() {
        return Ok(());
    }
    let mut failure = None;
    for (place, (json_patch, program)) in compiled.mutations.iter().enumerate() {
        let field = if *json_patch { "jsonPatch" } else { "applyConfiguration" };
        let expression = text(&definition.spec()["mutations"][place][field], "expression");
        let program = match program {
            Ok(program) => program,
            Err(error) => {
                failure.get_or_insert(format!("compilation error: {error}"));
                continue;
            }
        };
        let made = made(&input, compiled, param.as_ref(), &asker, expression, program);
        let result = made.and_then(|made| patched(attributes, &input, *json_patch, &made));
        match result {
            Ok(mut changed) => {
                // The type is in what expressions see, not in every object.
                for field in ["apiVersion", "kind"] {
                    if object.get(field).is_none()
                        && let Some(map) = changed.as_object_mut()
                    {
                        map.remove(field);
                    }
                }
                if attributes.body == super::super::gvk(attributes.kind) {
                    defaults::apply(attributes.kind, &mut changed);
                }
                *object = changed;
                input = Input::new(registry, attributes, kind, object);
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// What a mutation's expression gives, as JSON.
fn made(
    input: &Input,
    compiled: &kabuki_api::cel::Policy,
    param: Option<&Value>,
    asker: &Asker<'_>,
    expression: &str,
    program: &Program,
) -> Result<Value, String> {
    let variables = input.variables(Some(compiled), param, asker);
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let value = program.eval(&variables, &mut budget).map_err(|e| worded(expression, &e))?;
    value.to_json(&mut budget).map_err(|e| worded(expression, &e))
}

/// The object with a mutation carried out.
fn patched(
    attributes: &Attributes<'_>,
    input: &Input,
    json_patch: bool,
    made: &Value,
) -> Result<Value, String> {
    let changed = if json_patch {
        patch::json_patch(&input.object, made)
            .map_err(|status| format!("JSON Patch: {}", status.message))?
    } else {
        patch::lay_over(input.kind, &input.object, made)
            .map_err(|fault| format!("error applying patch: {fault}"))?
    };
    Ok(input.original(attributes, changed))
}
