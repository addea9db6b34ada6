//! Status and conditions of a Deployment (upstream: `pkg/controller/deployment/{sync,progress}.go`).

use std::time::Duration;

use super::{
    bounds::max_unavailable,
    sets::{Set, asked, counted},
};
use crate::controllers::model::{Condition, Deployment, DeploymentStatus, Time, condition};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The ReplicaSets a status is made of.
pub(super) struct Seen<'a> {
    pub new: Option<&'a Set>,
    pub old: &'a [Set],
}

impl Seen<'_> {
    fn sum(&self, of: impl Fn(&Set) -> i64) -> i64 {
        self.new.map_or(0, &of) + self.old.iter().map(of).sum::<i64>()
    }
}

/// Numbers and condition Available; the other conditions are those in `conditions`.
pub(super) fn numbers(
    deployment: &Deployment,
    seen: &Seen<'_>,
    conditions: Vec<Condition>,
    now: Time,
) -> DeploymentStatus {
    let available = seen.sum(|set| set.status.available_replicas);
    let terminating: Vec<i64> = seen
        .new
        .into_iter()
        .chain(seen.old)
        .filter_map(|s| s.status.terminating_replicas)
        .collect();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: seen.sum(|set| set.status.replicas),
        updated_replicas: seen.new.map_or(0, |set| set.status.replicas),
        ready_replicas: seen.sum(|set| set.status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (seen.sum(|set| set.replicas) - available).max(0),
        terminating_replicas: Some(terminating.iter().sum()),
        conditions,
        collision_count: deployment.status.collision_count,
    };
    let enough = available >= deployment.spec.replicas - max_unavailable(deployment);
    let (text, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status.conditions, new_condition(AVAILABLE, text, reason, message, now));
    status
}

/// Condition Progressing, and ReplicaFailure from the ReplicaSets.
pub(super) fn progress(
    deployment: &Deployment,
    seen: &Seen<'_>,
    status: &mut DeploymentStatus,
    now: Time,
) {
    let name = seen.new.map(|set| set.metadata.name.as_str());
    let subject = name.map_or_else(
        || format!("Deployment \"{}\"", deployment.metadata.name),
        |name| format!("ReplicaSet \"{name}\""),
    );
    let current = condition(&status.conditions, PROGRESSING).cloned();
    if deployment.spec.progress_deadline_seconds.is_none() {
        status.conditions.retain(|c| c.kind != PROGRESSING);
    } else {
        let settled = status.replicas == status.updated_replicas
            && current.as_ref().is_some_and(|c| c.reason == NEW_AVAILABLE);
        if !settled {
            judge_progress(deployment, &subject, current, status, now);
        }
    }
    let sets = seen.new.into_iter().chain(seen.old);
    let failure =
        sets.filter_map(|s| condition(&s.status.conditions, REPLICA_FAILURE)).next().cloned();
    match failure {
        Some(mut failure) => {
            failure.last_update_time = failure.last_transition_time;
            set(&mut status.conditions, failure);
        }
        None => status.conditions.retain(|c| c.kind != REPLICA_FAILURE),
    }
}

fn judge_progress(
    deployment: &Deployment,
    subject: &str,
    current: Option<Condition>,
    status: &mut DeploymentStatus,
    now: Time,
) {
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        let done = new_condition(PROGRESSING, "True", NEW_AVAILABLE, &message, now);
        set(&mut status.conditions, done);
    } else if has_progressed(&deployment.status, status) {
        let message = format!("{subject} is progressing.");
        let mut moving = new_condition(PROGRESSING, "True", "ReplicaSetUpdated", &message, now);
        // The time of the last step must be kept even if the reason stays the same.
        if let Some(current) = current.filter(Condition::is_true) {
            moving.last_transition_time = current.last_transition_time;
        }
        status.conditions.retain(|c| c.kind != PROGRESSING);
        status.conditions.push(moving);
    } else if is_late(deployment, current.as_ref(), now) {
        let message = format!("{subject} has timed out progressing.");
        set(&mut status.conditions, new_condition(PROGRESSING, "False", TIMED_OUT, &message, now));
    }
}

/// Whether everything is new and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.spec.replicas;
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let old_ones = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    new.updated_replicas > old.updated_replicas
        || old_ones(new) < old_ones(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn is_late(deployment: &Deployment, current: Option<&Condition>, now: Time) -> bool {
    let (Some(current), Some(deadline)) = (current, deadline(deployment)) else { return false };
    match current.reason.as_str() {
        NEW_AVAILABLE | PAUSED => false,
        TIMED_OUT => true,
        _ => now.since(current.last_update_time.unwrap_or_default()) > deadline,
    }
}

/// When to look whether the rollout is late.
pub(super) fn deadline_check(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Time,
) -> Option<Duration> {
    let current = condition(&status.conditions, PROGRESSING)?;
    if is_complete(deployment, status)
        || matches!(current.reason.as_str(), NEW_AVAILABLE | TIMED_OUT | PAUSED)
    {
        return None;
    }
    let since = now.since(current.last_update_time.unwrap_or_default());
    Some(deadline(deployment)?.saturating_sub(since) + Duration::from_secs(1))
}

fn deadline(deployment: &Deployment) -> Option<Duration> {
    let seconds = u64::try_from(deployment.spec.progress_deadline_seconds?).ok()?;
    // The largest value means "no deadline".
    (seconds < u64::from(i32::MAX.unsigned_abs())).then(|| Duration::from_secs(seconds))
}

/// Condition Progressing while the Deployment is paused, and once it goes on.
pub(super) fn pause(deployment: &Deployment, conditions: &mut Vec<Condition>, now: Time) {
    if deployment.spec.progress_deadline_seconds.is_none() {
        return;
    }
    let reason = condition(conditions, PROGRESSING).map(|c| c.reason.clone());
    if reason.as_deref() == Some(TIMED_OUT) {
        return;
    }
    let was_paused = reason.as_deref() == Some(PAUSED);
    let (reason, message) = match (deployment.spec.paused, was_paused) {
        (true, false) => (PAUSED, "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return,
    };
    set(conditions, new_condition(PROGRESSING, "Unknown", reason, message, now));
}

/// Condition Progressing when a new ReplicaSet was made or found.
pub(super) fn new_set(
    deployment: &Deployment,
    conditions: &mut Vec<Condition>,
    created: bool,
    name: &str,
    now: Time,
) {
    if deployment.spec.progress_deadline_seconds.is_none() {
        return;
    }
    let (reason, message) = if created {
        ("NewReplicaSetCreated", format!("Created new replica set \"{name}\""))
    } else if condition(conditions, PROGRESSING).is_none() {
        ("FoundNewReplicaSet", format!("Found new replica set \"{name}\""))
    } else {
        return;
    };
    set(conditions, new_condition(PROGRESSING, "True", reason, &message, now));
}

/// Condition Progressing when a new ReplicaSet was refused.
pub(super) fn refused(conditions: &mut Vec<Condition>, message: &str, now: Time) {
    set(conditions, new_condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now));
}

fn new_condition(kind: &str, status: &str, reason: &str, message: &str, now: Time) -> Condition {
    Condition {
        kind: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_update_time: Some(now),
        last_transition_time: Some(now),
        ..Condition::default()
    }
}

/// Takes a condition, unless one with this status and reason is there; keeps the transition time
/// when only the reason changes.
fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = condition(conditions, &new.kind) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
    }
    conditions.retain(|c| c.kind != new.kind);
    conditions.push(new);
}

/// Pods asked for and counted, for decisions that compare them.
pub(super) fn has_old_pods(old: &[Set]) -> bool {
    // Until a ReplicaSet has acted on its last size, a pod of the size before may be under way.
    let unseen = |set: &Set| set.metadata.generation > set.status.observed_generation;
    old.iter().any(unseen) || asked(old) > 0 || counted(old, |set| set.status.replicas) > 0
}
