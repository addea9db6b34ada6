//! ReplicaSet: as many pods as asked for (upstream: `pkg/controller/replicaset/replica_set.go`).
//!
//! There are no expectations as upstream needs them: a key is decided on again only after its own
//! writes have been applied to the view it reads.

mod rank;
mod status;
#[cfg(test)]
mod tests;

use kabuki_api::kind::{Kind, POD, REPLICA_SET};
use serde_json::{Value, json};

use super::{
    claim::{claim, selector_of},
    framework::{
        Announce, Change, Command, Controller, Failure, Key, Note, ObjectRef, Plan, ReconcileError,
        Verb,
    },
    model::{Pod, ReplicaSet, Time, Typed, get, list},
};
use crate::registry::View;

/// Most pods created or deleted by one decision.
const MAX_BURST: usize = 500;

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplicaSetController;

impl Controller for ReplicaSetController {
    const NAME: &'static str = "replicaset-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![REPLICA_SET, POD]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == REPLICA_SET {
            out.push(Key::of(&change.object));
            return;
        }
        let mut managed = false;
        for object in [Some(&change.object), change.previous.as_ref()].into_iter().flatten() {
            let Ok(pod) = object.typed::<Pod>() else { continue };
            if let Some(manager) = pod.metadata.controller() {
                managed = true;
                if manager.kind == REPLICA_SET.kind {
                    out.push(Key::new(object.namespace(), &manager.name));
                }
            }
        }
        if !managed && !change.gone {
            out.extend(adopters(view, change));
        }
        out.dedup();
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(found) = Found::look(view, key)? else { return Ok(Plan::done()) };
        let Found { set, me, active, terminating, commands } = &found;
        let mut plan = Plan::done();
        plan.then_all(commands.clone());
        if !set.metadata.is_deleting() {
            scale(&mut plan, view, set, me, active)?;
        }
        // The status tells what was found; what this plan changes will be found next time. It is
        // written beside the first commands, not before them: a new pod should not wait for it.
        let wanted = status::compute(set, active, *terminating, now);
        if wanted != set.status {
            let write = status::command(set, &wanted);
            match plan.stages.first_mut() {
                Some(stage) => stage.push(write),
                None => plan.then(write),
            }
        }
        if let Some(delay) = status::recheck(set, active, now) {
            plan.requeue_after(delay);
        }
        Ok(plan)
    }

    fn refused(&mut self, view: &dyn View, key: &Key, now: Time, failure: &Failure) -> Plan {
        let Ok(Some(found)) = Found::look(view, key) else { return Plan::done() };
        let Found { set, me, active, terminating, .. } = &found;
        let message = &failure.status.message;
        let (reason, text) = match failure.verb {
            Verb::Create => ("FailedCreate", format!("Error creating: {message}")),
            Verb::Delete => ("FailedDelete", format!("Error deleting: {message}")),
            Verb::Update => return Plan::done(),
        };
        let counted = status::compute(set, active, *terminating, now);
        let wanted = status::with_failure(counted, reason, message, now);
        let mut commands = vec![Command::Record(Note::warning(me.clone(), reason, text))];
        if wanted != set.status {
            commands.push(status::command(set, &wanted));
        }
        Plan { stages: vec![commands], requeue: None }
    }
}

/// A ReplicaSet with its pods.
struct Found {
    set: Typed<ReplicaSet>,
    me: ObjectRef,
    active: Vec<Typed<Pod>>,
    terminating: usize,
    /// Adoptions and releases.
    commands: Vec<Command>,
}

impl Found {
    fn look(view: &dyn View, key: &Key) -> Result<Option<Self>, ReconcileError> {
        let Some(set) = get::<ReplicaSet>(view, REPLICA_SET, &key.namespace, &key.name)? else {
            return Ok(None);
        };
        let selector = selector_of(&set.spec.selector)?;
        let me = ObjectRef::to(&set.object);
        let mut pods = list::<Pod>(view, POD, Some(&key.namespace))?;
        pods.retain(|pod| !pod.is_terminal());
        let claimed = claim(&me, &set.metadata, &selector, pods, |pod| &pod.metadata);
        let (active, terminating): (Vec<_>, Vec<_>) =
            claimed.owned.into_iter().partition(|pod| pod.is_active());
        let (terminating, commands) = (terminating.len(), claimed.commands);
        Ok(Some(Self { set, me, active, terminating, commands }))
    }
}

/// ReplicaSets that would adopt a pod nobody manages.
fn adopters(view: &dyn View, change: &Change) -> Vec<Key> {
    let namespace = change.object.namespace();
    let sets = list::<ReplicaSet>(view, REPLICA_SET, Some(namespace)).unwrap_or_default();
    sets.iter()
        .filter(|set| {
            selector_of(&set.spec.selector)
                .is_ok_and(|selector| selector.matches(change.object.labels()))
        })
        .map(|set| Key::of(&set.object))
        .collect()
}

fn scale(
    plan: &mut Plan,
    view: &dyn View,
    set: &Typed<ReplicaSet>,
    me: &ObjectRef,
    active: &[Typed<Pod>],
) -> Result<(), ReconcileError> {
    let wanted = usize::try_from(set.spec.replicas).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(MAX_BURST);
        let announce =
            Announce { on: me.clone(), reason: "SuccessfulCreate", prefix: "Created pod: " };
        let body = new_pod(set, me);
        let one = Command::create(POD, body).announced(announce);
        slow_start(plan, missing, || one.clone());
    } else if active.len() > wanted {
        let surplus = (active.len() - wanted).min(MAX_BURST);
        let related = related_pods(view, set)?;
        let announce =
            Announce { on: me.clone(), reason: "SuccessfulDelete", prefix: "Deleted pod: " };
        let victims = rank::first_to_go(active, &related, surplus);
        plan.then_all(
            victims
                .into_iter()
                .map(|pod| Command::delete(&pod.object).announced(announce.clone()))
                .collect(),
        );
    }
    Ok(())
}

/// Batches of 1, 2, 4, …: if the first pod is refused, the other 499 are not even tried.
fn slow_start(plan: &mut Plan, count: usize, mut make: impl FnMut() -> Command) {
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let size = batch.min(left);
        plan.then_all((0..size).map(|_| make()).collect());
        left -= size;
        batch *= 2;
    }
}

/// A pod from the template.
fn new_pod(set: &ReplicaSet, me: &ObjectRef) -> Value {
    let template = &set.spec.template;
    let mut meta = json!({
        "generateName": format!("{}-", set.metadata.name),
        "namespace": set.metadata.namespace,
        "ownerReferences": [me.as_controller()],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            meta[field] = template["metadata"][field].clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
}

/// Pods of all ReplicaSets of the same Deployment: a node that holds many of them is relieved first.
fn related_pods(
    view: &dyn View,
    set: &Typed<ReplicaSet>,
) -> Result<Vec<Typed<Pod>>, ReconcileError> {
    let namespace = Some(set.metadata.namespace.as_str());
    let uids: Vec<String> = match set.metadata.controller() {
        None => vec![set.metadata.uid.clone()],
        Some(owner) => list::<ReplicaSet>(view, REPLICA_SET, namespace)?
            .iter()
            .filter(|other| other.metadata.is_controlled_by(&owner.uid))
            .map(|other| other.metadata.uid.clone())
            .collect(),
    };
    let mut pods = list::<Pod>(view, POD, namespace)?;
    pods.retain(|pod| pod.is_active() && uids.iter().any(|uid| pod.metadata.is_controlled_by(uid)));
    Ok(pods)
}
