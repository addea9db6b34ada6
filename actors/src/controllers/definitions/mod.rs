//! CustomResourceDefinitions: which of their names they get, and their end, which is that of their
//! objects first (upstream: apiextensions `pkg/controller/{status,establish,finalizer}`).

mod names;

use std::time::Duration;

use kabuki_api::kind::{CUSTOM_RESOURCE_DEFINITION, Kind};
use serde_json::Value;

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{CUSTOM_RESOURCE_CLEANUP, Condition, Object, View, set_condition},
};

/// Objects deleted by one decision.
const MAX_AT_ONCE: usize = 500;
/// How often it looks while objects of a definition remain.
const POLL: Duration = Duration::from_millis(100);

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct DefinitionController;

impl Controller for DefinitionController {
    const NAME: &'static str = "customresourcedefinition-controller";
    // Of two definitions that want the same name one must see that the other has it.
    const WORKERS: usize = 1;

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CUSTOM_RESOURCE_DEFINITION]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.push(Key::of(&change.object));
        // It may have given back a name that another one waits for.
        let Some((_, group)) = change.object.name().split_once('.') else { return };
        let definitions = view.definitions();
        let waiting = definitions.all().filter(|d| d.group() == group && !d.has_all_names());
        out.extend(waiting.map(|d| Key::new("", d.name())));
    }

    fn keys_at_start(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.push(Key::of(&change.object));
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(object) = view.get(CUSTOM_RESOURCE_DEFINITION, "", &key.name) else {
            return Ok(Plan::done());
        };
        // Schemas are large and nobody else reads them decoded.
        let definition = object.detached();
        if definition["metadata"]["deletionTimestamp"].is_string() {
            return finalize(view, &object, definition, now);
        }
        let mut decided = definition.clone();
        names::decide(view, &mut decided, &now.rfc3339());
        if decided == definition {
            return Ok(Plan::done());
        }
        Ok(Plan::one(Command::update_status(&object, decided)))
    }
}

/// A definition that is being deleted: its objects go, then the definition.
fn finalize(
    view: &dyn View,
    object: &Object,
    mut definition: Value,
    now: Time,
) -> Result<Plan, ReconcileError> {
    let finalizers = definition["metadata"]["finalizers"].as_array();
    if !finalizers.is_some_and(|all| all.iter().any(|f| f == CUSTOM_RESOURCE_CLEANUP)) {
        return Ok(Plan::done());
    }
    let left = match view.definitions().get(object.name()) {
        Some(known) if known.is_established() => match known.stored() {
            Some(kind) => view.list(kind, None),
            None => {
                let text = "the kind it defines cannot be served, so that its objects cannot be \
                    deleted; correct its schema";
                return Err(ReconcileError::Invalid(text.into()));
            }
        },
        _ => Vec::new(),
    };
    if left.is_empty() {
        if let Some(list) = definition["metadata"]["finalizers"].as_array_mut() {
            list.retain(|finalizer| finalizer != CUSTOM_RESOURCE_CLEANUP);
        }
        return Ok(Plan::one(Command::update(object, definition)));
    }
    let mut plan = Plan { stages: Vec::new(), requeue: Some(POLL) };
    let before = definition.clone();
    let condition = Condition {
        name: "Terminating",
        is: true,
        reason: "InstanceDeletionInProgress",
        message: "CustomResource deletion is in progress",
    };
    set_condition(&mut definition["status"], &condition, &now.rfc3339());
    if definition != before {
        plan.then(Command::update_status(object, definition));
    }
    let going = left.iter().filter(|o| !o.peek_metadata("deletionTimestamp").is_string());
    plan.then_all(going.take(MAX_AT_ONCE).map(|o| Command::delete(o)).collect());
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    fn definition(deleting: bool) -> Value {
        let mut out = json!({"metadata": {"name": "plays.stage.example.com", "uid": "u",
                "resourceVersion": "1"},
            "spec": {"group": "stage.example.com", "scope": "Namespaced",
                "names": {"plural": "plays", "singular": "play", "kind": "Play",
                    "listKind": "PlayList"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        if deleting {
            out["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            out["metadata"]["finalizers"] = json!([CUSTOM_RESOURCE_CLEANUP, "other/x"]);
        }
        out
    }

    fn decide(view: &MemView) -> Plan {
        let key = Key::new("", "plays.stage.example.com");
        DefinitionController.reconcile(view, &key, Time::from_secs(0)).unwrap()
    }

    #[test]
    fn a_new_definition_is_established_once() {
        let mut view = MemView::new().with(CUSTOM_RESOURCE_DEFINITION, definition(false));
        let plan = decide(&view);
        let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
        let conditions = &object["status"]["conditions"];
        assert_eq!(conditions[1]["type"], "Established");
        assert_eq!(conditions[1]["status"], "True");
        assert_eq!(conditions[1]["reason"], "InitialNamesAccepted");
        view.put(CUSTOM_RESOURCE_DEFINITION, object.clone());
        assert!(decide(&view).commands().is_empty());
    }

    #[test]
    fn objects_go_before_their_definition() {
        let mut established = MemView::new().with(CUSTOM_RESOURCE_DEFINITION, definition(false));
        let Command::Update { object, .. } = decide(&established).commands()[0].clone() else {
            panic!()
        };
        let mut going = definition(true);
        going["status"] = object["status"].clone();
        established.put(CUSTOM_RESOURCE_DEFINITION, going);
        let kind = established.definitions().stored().next().unwrap();
        let play = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "p"}});
        established.put(kind, play);
        let plan = decide(&established);
        let [Command::Update { object, .. }, Command::Delete { name, .. }] = plan.commands()[..]
        else {
            panic!("{plan:?}")
        };
        assert_eq!(object["status"]["conditions"][2]["reason"], "InstanceDeletionInProgress");
        assert_eq!((name.as_str(), plan.requeue), ("p", Some(POLL)));
        established.remove(kind, "ns", "p");
        let plan = decide(&established);
        let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
        assert_eq!(object["metadata"]["finalizers"], json!(["other/x"]));
    }
}
