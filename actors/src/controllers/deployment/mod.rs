//! Deployment: replaces one ReplicaSet by the next, step by step
//! (upstream: `pkg/controller/deployment`).

mod bounds;
mod hash;
mod revision;
mod rollout;
mod scale;
mod sets;
mod status;
#[cfg(test)]
mod tests;

use kabuki_api::kind::{DEPLOYMENT, Kind, POD, REPLICA_SET};

use self::{hash::same_template, rollout::Rollout, sets::Set};
use super::{
    claim::{claim, selector_of},
    framework::{
        Change, Command, Controller, Failure, Key, Note, ObjectRef, Plan, ReconcileError, Verb,
    },
    model::{Deployment, DeploymentStatus, Pod, ReplicaSet, Time, Typed, get, list},
};
use crate::registry::View;

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeploymentController;

impl Controller for DeploymentController {
    const NAME: &'static str = "deployment-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![DEPLOYMENT, REPLICA_SET, POD]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == DEPLOYMENT {
            out.push(Key::of(&change.object));
        } else if change.kind() == REPLICA_SET {
            of_set(view, change, out);
        } else if change.gone {
            of_vanished_pod(view, change, out);
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let found = get::<Deployment>(view, DEPLOYMENT, &key.namespace, &key.name)?;
        let Some(deployment) = found else { return Ok(Plan::done()) };
        let selector = selector_of(&deployment.spec.selector)?;
        let me = ObjectRef::to(&deployment.object);
        if selector.is_everything() {
            return Ok(selects_everything(&deployment, me));
        }
        let sets = list::<ReplicaSet>(view, REPLICA_SET, Some(&key.namespace))?;
        let claimed = claim(&me, &deployment.metadata, &selector, sets, |set| &set.metadata);
        let mut plan = Plan::done();
        let adopting = !claimed.commands.is_empty();
        plan.then_all(claimed.commands);
        if adopting {
            // Adoption changes the ReplicaSets; decide the rest on what they are then.
            return Ok(plan);
        }
        let sets: Vec<Set> = claimed.owned.into_iter().map(Set::new).collect();
        let mut rollout = Rollout::new(&deployment, me, sets, now);
        if deployment.metadata.is_deleting() {
            rollout.only_status();
        } else {
            let old_pods_run = |uids: &[String]| old_pods_run(view, &key.namespace, uids);
            rollout.step(&old_pods_run)?;
        }
        Ok(rollout.into_plan())
    }

    fn refused(&mut self, view: &dyn View, key: &Key, now: Time, failure: &Failure) -> Plan {
        let found = get::<Deployment>(view, DEPLOYMENT, &key.namespace, &key.name);
        let (Ok(Some(deployment)), Verb::Create) = (found, failure.verb) else {
            return Plan::done();
        };
        let mut wanted = deployment.status.clone();
        if failure.status.is_already_exists() {
            if !name_is_taken(view, &deployment, &failure.name) {
                return Plan::done();
            }
            // Another template hashes to the same name: the count changes the next hash.
            wanted.collision_count = Some(wanted.collision_count.unwrap_or(0) + 1);
            return Plan::one(write_status(&deployment, &wanted));
        }
        let message = format!(
            "Failed to create new replica set {:?}: {}",
            failure.name, failure.status.message
        );
        status::refused(&mut wanted.conditions, &message, now);
        let me = ObjectRef::to(&deployment.object);
        let mut commands =
            vec![Command::Record(Note::warning(me, "ReplicaSetCreateError", message))];
        if wanted != deployment.status {
            commands.push(write_status(&deployment, &wanted));
        }
        Plan { stages: vec![commands], requeue: None }
    }
}

/// The manager of a ReplicaSet, before and after; of an orphan all that select it.
fn of_set(view: &dyn View, change: &Change, out: &mut Vec<Key>) {
    let namespace = change.object.namespace();
    let mut managed = false;
    for object in [Some(&change.object), change.previous.as_ref()].into_iter().flatten() {
        let Ok(set) = object.typed::<ReplicaSet>() else { continue };
        if let Some(manager) = set.metadata.controller() {
            managed = true;
            if manager.kind == DEPLOYMENT.kind {
                out.push(Key::new(namespace, &manager.name));
            }
        }
    }
    out.dedup();
    if managed || change.gone {
        return;
    }
    let all = list::<Deployment>(view, DEPLOYMENT, Some(namespace)).unwrap_or_default();
    out.extend(
        all.iter()
            .filter(|d| {
                selector_of(&d.spec.selector).is_ok_and(|s| s.matches(change.object.labels()))
            })
            .map(|d| Key::of(&d.object)),
    );
}

/// Recreate waits for the last old pod to vanish, which no ReplicaSet tells.
fn of_vanished_pod(view: &dyn View, change: &Change, out: &mut Vec<Key>) {
    let Ok(pod) = change.object.typed::<Pod>() else { return };
    let Some(manager) = pod.metadata.controller().filter(|m| m.kind == REPLICA_SET.kind) else {
        return;
    };
    let namespace = change.object.namespace();
    let set = get::<ReplicaSet>(view, REPLICA_SET, namespace, &manager.name).ok().flatten();
    let Some(owner) = set.as_ref().and_then(|set| set.metadata.controller()) else { return };
    let deployment = get::<Deployment>(view, DEPLOYMENT, namespace, &owner.name).ok().flatten();
    if deployment.is_some_and(|d| !bounds::is_rolling(&d)) {
        out.push(Key::new(namespace, &owner.name));
    }
}

/// Whether pods of ReplicaSets with these uids have not ended yet.
fn old_pods_run(view: &dyn View, namespace: &str, uids: &[String]) -> Result<bool, ReconcileError> {
    let pods = list::<Pod>(view, POD, Some(namespace))?;
    Ok(pods
        .iter()
        .any(|pod| !pod.is_terminal() && uids.iter().any(|uid| pod.metadata.is_controlled_by(uid))))
}

fn selects_everything(deployment: &Typed<Deployment>, me: ObjectRef) -> Plan {
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut plan = Plan::one(Command::Record(Note::warning(me, "SelectingAll", message)));
    let mut wanted = deployment.status.clone();
    wanted.observed_generation = deployment.metadata.generation;
    if wanted != deployment.status {
        plan.then(write_status(deployment, &wanted));
    }
    plan
}

/// Whether a ReplicaSet of this name exists that is not the one this Deployment wants.
fn name_is_taken(view: &dyn View, deployment: &Typed<Deployment>, name: &str) -> bool {
    let namespace = &deployment.metadata.namespace;
    let Ok(Some(set)) = get::<ReplicaSet>(view, REPLICA_SET, namespace, name) else { return false };
    !(set.metadata.is_controlled_by(&deployment.metadata.uid)
        && same_template(&set.spec.template, &deployment.spec.template))
}

fn write_status(deployment: &Typed<Deployment>, status: &DeploymentStatus) -> Command {
    let mut value = deployment.object.value().clone();
    value["status"] = serde_json::to_value(status).unwrap_or_default();
    Command::update_status(&deployment.object, value)
}
