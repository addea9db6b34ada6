//! Mutating webhooks: one after another, each sees what the one before left, defaulted.

use std::collections::HashSet;

use kabuki_api::{patch, status::Status};
use serde_json::{Value, json};

use super::{
    super::{Attributes, Registry, calls},
    ask::{Refusal, Seen, ask, convert},
    hook::Hook,
    mutating_hooks,
    review::Answer,
    rules,
};

const FAILED_OPEN: &str = "failed-open.mutation.webhook.admission.k8s.io";
const MUTATION: &str = "mutation.webhook.admission.k8s.io";
/// Recorded only where the audit log records request bodies.
const PATCH: &str = "patch.webhook.admission.k8s.io";

/// Which webhooks are asked a second time (apiserver
/// `pkg/admission/plugin/webhook/mutating/reinvocationcontext.go`): those that want to be
/// (`reinvocationPolicy: IfNeeded`) and came before a change.
#[derive(Debug, Default)]
pub(in super::super) struct Rounds {
    round: usize,
    /// Asked since the last change, and want to be asked again after one.
    before: HashSet<usize>,
    again: HashSet<usize>,
    /// What the first round left.
    left: Value,
}

impl Rounds {
    /// Begins the second round with what the built-in plugins made of the object; answers whether
    /// there is anybody to ask.
    pub(in super::super) fn begin_second(&mut self, object: &Value) -> bool {
        if *object != self.left {
            self.changed();
        }
        self.round = 1;
        !self.again.is_empty()
    }

    /// Whether only those are asked that want to be asked again.
    pub(in super::super) fn is_second(&self) -> bool {
        self.round > 0
    }

    fn changed(&mut self) {
        self.again.extend(self.before.drain());
    }

    fn skips(&self, index: usize) -> bool {
        self.round > 0 && !self.again.contains(&index)
    }
}

/// Lets the mutating webhooks that match change `object`; answers whether one did.
///
/// # Errors
/// The refusal of the first that refuses; 500 for one that could not be asked and must be.
pub(in super::super) async fn mutate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &mut Value,
    rounds: &mut Rounds,
) -> Result<bool, Status> {
    let hooks = mutating_hooks(registry);
    let mut any = false;
    for (index, hook) in hooks.iter().enumerate() {
        if rounds.skips(index) {
            continue;
        }
        let Some(kind) = rules::wanted(registry, hook, attributes, object)? else { continue };
        let seen = Seen::new(attributes, kind, object);
        if !hook.conditions.hold(registry, attributes, &seen, hook.ignores_failure)? {
            continue;
        }
        let place = format!("round_{}_index_{index}", rounds.round);
        let changed = match ask(registry, attributes, hook, &seen, true).await {
            Ok(answer) => change(attributes, hook, &place, seen, answer, object),
            Err(refusal) => Err(refusal),
        };
        note_mutation(attributes, hook, &place, matches!(changed, Ok(true)));
        match changed {
            Ok(true) => {
                any = true;
                rounds.changed();
            }
            Ok(false) => {}
            Err(Refusal::Failed(why)) if hook.ignores_failure => {
                tracing::warn!(%why, "a webhook that may fail did");
                attributes.notes().annotate(&format!("{FAILED_OPEN}/{place}"), &hook.name);
            }
            Err(Refusal::Failed(why)) => return Err(Status::internal(why)),
            Err(Refusal::Denied(status)) => return Err(status),
        }
        if hook.reinvoked {
            rounds.before.insert(index);
        }
    }
    rounds.left = object.clone();
    Ok(any)
}

fn note_mutation(attributes: &Attributes<'_>, hook: &Hook, place: &str, mutated: bool) {
    let note =
        json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": mutated});
    attributes.notes().annotate(&format!("{MUTATION}/{place}"), &note.to_string());
}

/// Applies a webhook's patch, and defaults what it leaves. Answers whether that is another object.
fn change(
    attributes: &Attributes<'_>,
    hook: &Hook,
    place: &str,
    seen: Seen,
    answer: Answer,
    object: &mut Value,
) -> Result<bool, Refusal> {
    let Some(bytes) = answer.patch else { return Ok(false) };
    let undecodable = |why: &dyn std::fmt::Display| {
        Refusal::failed(hook, format_args!("received undecodable patch in webhook response: {why}"))
    };
    let operations: Value = serde_json::from_slice(&bytes).map_err(|e| undecodable(&e))?;
    match operations.as_array() {
        None => return Err(undecodable(&"it is no list of operations")),
        Some(list) if list.is_empty() => return Ok(false),
        Some(_) => {}
    }
    if object.is_null() {
        return Err(Refusal::Denied(Status::internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for \
             this operation",
            hook.name
        ))));
    }
    let mut patched = apply(&seen.object, &operations).map_err(Refusal::Denied)?;
    if patched["kind"] != seen.object["kind"] || patched["apiVersion"] != seen.object["apiVersion"]
    {
        let text =
            format!("admission webhook {:?} must not change the kind of an object", hook.name);
        return Err(Refusal::Denied(Status::internal(text)));
    }
    if attributes.body == super::super::gvk(attributes.kind) {
        convert(&mut patched, seen.kind, attributes.kind);
    }
    calls::normalise(attributes, &mut patched).map_err(Refusal::Denied)?;
    let note = json!({"configuration": hook.configuration, "webhook": hook.name,
        "patch": operations, "patchType": "JSONPatch"});
    attributes.notes().annotate(&format!("{PATCH}/{place}"), &note.to_string());
    if patched == *object {
        return Ok(false);
    }
    *object = patched;
    Ok(true)
}

fn apply(object: &Value, operations: &Value) -> Result<Value, Status> {
    patch::json_patch(object, operations).map_err(|e| Status::internal(&e.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_before_a_change_are_asked_again() {
        let mut rounds = Rounds::default();
        rounds.before.insert(0);
        rounds.changed();
        rounds.before.insert(1);
        rounds.left = json!(1);
        assert!(rounds.begin_second(&json!(1)));
        assert!(!rounds.skips(0) && rounds.skips(1) && rounds.skips(2));

        let mut quiet = Rounds { before: [0].into(), left: json!(1), ..Rounds::default() };
        assert!(!quiet.begin_second(&json!(1)));
        let mut built_in = Rounds { before: [0].into(), left: json!(1), ..Rounds::default() };
        assert!(built_in.begin_second(&json!(2)));
        assert!(!built_in.skips(0));
    }
}
