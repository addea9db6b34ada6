//! Deleting a namespace: pods first, then everything else, then the namespace itself
//! (upstream: `pkg/controller/namespace/deletion`).

use std::time::Duration;

use kabuki_api::kind::{self, Kind, NAMESPACE, POD};
use serde_json::{Value, json};

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{Namespace, Time, Typed, get},
    },
    registry::{Object, Subresource, View},
};

const FINALIZER: &str = "kubernetes";
/// Objects deleted by one decision.
const MAX_AT_ONCE: usize = 500;
/// How often it looks while content remains.
const POLL: Duration = Duration::from_millis(200);

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamespaceController;

impl Controller for NamespaceController {
    const NAME: &'static str = "namespace-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NAMESPACE]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.push(Key::of(&change.object));
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(namespace) = get::<Namespace>(view, NAMESPACE, "", &key.name)? else {
            return Ok(Plan::done());
        };
        let ours = namespace.spec.finalizers.iter().any(|f| f == FINALIZER);
        if !namespace.metadata.is_deleting() || !ours {
            return Ok(Plan::done());
        }
        let pods = view.list(POD, Some(&key.name));
        let left = if pods.is_empty() { rest(view, &key.name) } else { pods };
        if left.is_empty() {
            return Ok(Plan::one(finalize(&namespace)));
        }
        let mut plan = Plan { stages: Vec::new(), requeue: Some(POLL) };
        if let Some(command) = tell(&namespace, &left, now) {
            plan.then(command);
        }
        let going = left.iter().filter(|object| !object.is_deleting());
        plan.then_all(going.take(MAX_AT_ONCE).map(|object| Command::delete(object)).collect());
        Ok(plan)
    }
}

/// Everything in the namespace.
fn rest(view: &dyn View, namespace: &str) -> Vec<std::sync::Arc<Object>> {
    kind::all()
        .iter()
        .copied()
        .filter(|k| k.is_stored() && *k == k.storage_kind())
        .chain(view.definitions().stored())
        .filter(|k| k.namespaced)
        .flat_map(|k| view.list(k, Some(namespace)))
        .collect()
}

fn finalize(namespace: &Typed<Namespace>) -> Command {
    let mut value = namespace.object.value().clone();
    let others = namespace.spec.finalizers.iter().filter(|f| *f != FINALIZER);
    value["spec"]["finalizers"] = others.cloned().collect();
    Command::write(&namespace.object, value, Subresource::Finalize)
}

/// Phase and conditions, if they say something else yet.
fn tell(
    namespace: &Typed<Namespace>,
    left: &[std::sync::Arc<Object>],
    now: Time,
) -> Option<Command> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    let mut finalizers: Vec<(String, usize)> = Vec::new();
    for object in left {
        bump(&mut counts, object.kind().group_resource());
        for finalizer in object.metadata()["finalizers"].as_array().into_iter().flatten() {
            bump(&mut finalizers, finalizer.as_str().unwrap_or_default().to_owned());
        }
    }
    let some = |list: &[(String, usize)], word: &str| {
        let parts: Vec<_> =
            list.iter().map(|(name, n)| format!("{name} {word} {n} resource instances")).collect();
        parts.join(", ")
    };
    let content = format!("Some resources are remaining: {}", some(&counts, "has"));
    let finals = format!(
        "Some content in the namespace has finalizers remaining: {}",
        some(&finalizers, "in")
    );
    let remaining = !finalizers.is_empty();
    let wanted = [
        (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            false,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", true, "SomeResourcesRemain", content.as_str()),
        (
            "NamespaceFinalizersRemaining",
            remaining,
            if remaining { "SomeFinalizersRemain" } else { "ContentHasNoFinalizers" },
            if remaining { finals.as_str() } else { "All content-preserving finalizers finished" },
        ),
    ];
    let mut value = namespace.object.value().clone();
    let old = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<Value> = wanted
        .iter()
        .map(|(kind, yes, reason, message)| {
            let status = if *yes { "True" } else { "False" };
            let before = old.iter().find(|c| c["type"] == *kind && c["status"] == status);
            let since = before.map_or(json!(now.rfc3339()), |c| c["lastTransitionTime"].clone());
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since})
        })
        .collect();
    value["status"]["phase"] = "Terminating".into();
    value["status"]["conditions"] = conditions.into();
    (value != *namespace.object.value()).then(|| Command::update_status(&namespace.object, value))
}

fn bump(counts: &mut Vec<(String, usize)>, name: String) {
    match counts.iter_mut().find(|(known, _)| *known == name) {
        Some((_, n)) => *n += 1,
        None => counts.push((name, 1)),
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::{CONFIG_MAP, ROLE};

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn pods_go_first_and_the_namespace_last() {
        let now = Time::from_secs(0);
        let key = Key::new("", "ns");
        let namespace = json!({"metadata": {"name": "ns", "uid": "u",
                "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes", "other"]}, "status": {"phase": "Terminating"}});
        let object =
            |name: &str| json!({"metadata": {"name": name, "namespace": "ns", "uid": name}});
        let mut view = MemView::new()
            .with(NAMESPACE, namespace.clone())
            .with(POD, object("p"))
            .with(CONFIG_MAP, object("c"))
            .with(ROLE, object("r"))
            .with(CONFIG_MAP, json!({"metadata": {"name": "c", "namespace": "elsewhere"}}));
        let deleted = |view: &MemView| -> Vec<String> {
            let plan = NamespaceController.reconcile(view, &key, now).unwrap();
            let names = plan.commands().into_iter().filter_map(|c| match c {
                Command::Delete { name, .. } => Some(name.clone()),
                _ => None,
            });
            names.collect()
        };
        assert_eq!(deleted(&view), ["p"]);
        view.remove(POD, "ns", "p");
        assert_eq!(deleted(&view), ["c", "r"]);
        let mut leaving = object("c");
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        leaving["metadata"]["finalizers"] = json!(["x/y"]);
        view.put(CONFIG_MAP, leaving);
        view.remove(ROLE, "ns", "r");
        let plan = NamespaceController.reconcile(&view, &key, now).unwrap();
        let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
        assert_eq!(
            object["status"]["conditions"][4]["message"],
            "Some content in the namespace has finalizers remaining: x/y in 1 resource instances"
        );
        view.put(NAMESPACE, object.clone());
        let plan = NamespaceController.reconcile(&view, &key, now).unwrap();
        assert_eq!((plan.stages.len(), plan.requeue), (0, Some(POLL)), "waits");
        view.remove(CONFIG_MAP, "ns", "c");
        let plan = NamespaceController.reconcile(&view, &key, now).unwrap();
        let Command::Update { object, subresource, .. } = plan.commands()[0] else { panic!() };
        assert_eq!(*subresource, Subresource::Finalize);
        assert_eq!(object["spec"]["finalizers"], json!(["other"]));
    }
}
