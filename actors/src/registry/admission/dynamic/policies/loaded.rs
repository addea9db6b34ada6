//! Policies as configured, compiled once per change of each.

use std::sync::Arc;

use kabuki_api::{cel::Policy, kind::Kind};
use serde_json::Value;

use super::matching::Matcher;
use crate::registry::{Object, View, object::text};

/// Most policies of a kind that are kept compiled. Those beyond are compiled whenever the
/// configuration is read again.
const COMPILED_MAX: usize = 1_000;

/// One policy with what binds it.
pub(super) struct Definition {
    pub name: String,
    uid: String,
    revision: u64,
    /// The object, for what is read once per request.
    pub object: Arc<Object>,
    pub ignores_failure: bool,
    pub matcher: Matcher,
    pub compiled: Arc<Policy>,
    pub bindings: Vec<Binding>,
}

/// One binding of a policy.
pub(super) struct Binding {
    pub name: String,
    pub object: Arc<Object>,
    /// `None`: whatever the policy matches.
    pub matcher: Option<Matcher>,
}

impl Definition {
    /// The policy's `spec`.
    pub(super) fn spec(&self) -> &Value {
        &self.object.value()["spec"]
    }
}

impl Binding {
    /// The binding's `spec`.
    pub(super) fn spec(&self) -> &Value {
        &self.object.value()["spec"]
    }
}

/// The policies that are bound, by name, each with its bindings by name.
pub(super) fn load(
    view: &dyn View,
    [policies, bindings]: [&'static Kind; 2],
    known: &[Arc<Definition>],
) -> Vec<Arc<Definition>> {
    let bindings = view.list(bindings, None);
    if bindings.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for object in view.list(policies, None) {
        let bound: Vec<Binding> = bindings
            .iter()
            .filter(|b| text(&b.value()["spec"], "policyName") == object.name())
            .map(binding)
            .collect();
        if !bound.is_empty() {
            out.push(Arc::new(definition(&object, bound, known)));
        }
    }
    out
}

fn binding(object: &Arc<Object>) -> Binding {
    let resources = &object.value()["spec"]["matchResources"];
    Binding {
        name: object.name().to_owned(),
        object: Arc::clone(object),
        matcher: resources.is_object().then(|| Matcher::read(resources)),
    }
}

fn definition(
    object: &Arc<Object>,
    bindings: Vec<Binding>,
    known: &[Arc<Definition>],
) -> Definition {
    let (uid, revision) = (object.uid(), object.revision());
    let spec = &object.value()["spec"];
    let before = known.iter().take(COMPILED_MAX).find(|d| d.uid == uid && d.revision == revision);
    let compiled = match before {
        Some(before) => Arc::clone(&before.compiled),
        None => Arc::new(Policy::compile(object.value())),
    };
    Definition {
        name: object.name().to_owned(),
        uid: uid.to_owned(),
        revision,
        object: Arc::clone(object),
        ignores_failure: spec["failurePolicy"] == "Ignore",
        matcher: Matcher::read(&spec["matchConstraints"]),
        compiled,
        bindings,
    }
}
