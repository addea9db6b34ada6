//! Status of a ReplicaSet (upstream: `pkg/controller/replicaset/replica_set_utils.go`).

use std::time::Duration;

use kabuki_api::selector::LabelSelector;

use crate::controllers::{
    framework::Command,
    model::{Condition, Pod, ReplicaSet, ReplicaSetStatus, Time, Typed},
};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// What the status should say about the pods that were found.
pub(super) fn compute(
    set: &ReplicaSet,
    active: &[Typed<Pod>],
    terminating: usize,
    now: Time,
) -> ReplicaSetStatus {
    let labels = LabelSelector::from_map(&set.spec.template["metadata"]["labels"]);
    let count = |test: &dyn Fn(&Pod) -> bool| as_i64(active.iter().filter(|p| test(p)).count());
    let mut status = ReplicaSetStatus {
        replicas: as_i64(active.len()),
        fully_labeled_replicas: count(&|p| labels.matches(&p.metadata.labels)),
        ready_replicas: count(&Pod::is_ready),
        available_replicas: count(&|p| p.is_available(set.spec.min_ready_seconds, now)),
        terminating_replicas: Some(as_i64(terminating)),
        observed_generation: set.metadata.generation,
        conditions: set.status.conditions.clone(),
    };
    // A failure is over when the number is right; otherwise the next refusal tells it again.
    if status.replicas == set.spec.replicas {
        status.conditions.retain(|c| c.kind != REPLICA_FAILURE);
    }
    status
}

/// Adds condition ReplicaFailure.
pub(super) fn with_failure(
    mut status: ReplicaSetStatus,
    reason: &str,
    message: &str,
    now: Time,
) -> ReplicaSetStatus {
    let same = |c: &Condition| {
        c.kind == REPLICA_FAILURE && c.is_true() && c.reason == reason && c.message == message
    };
    if status.conditions.iter().any(same) {
        return status;
    }
    status.conditions.retain(|c| c.kind != REPLICA_FAILURE);
    status.conditions.push(Condition {
        kind: REPLICA_FAILURE.into(),
        status: "True".into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Some(now),
        ..Condition::default()
    });
    status
}

/// The write of a status.
pub(super) fn command(set: &Typed<ReplicaSet>, status: &ReplicaSetStatus) -> Command {
    let mut value = set.object.value().clone();
    value["status"] = serde_json::to_value(status).unwrap_or_default();
    Command::update_status(&set.object, value)
}

/// When a pod that is ready becomes available by the passing of time alone.
pub(super) fn recheck(set: &ReplicaSet, active: &[Typed<Pod>], now: Time) -> Option<Duration> {
    let wait = Duration::from_secs(u64::try_from(set.spec.min_ready_seconds).ok()?);
    if wait.is_zero() {
        return None;
    }
    active
        .iter()
        .filter_map(|pod| pod.ready_since())
        .map(|since| wait.saturating_sub(now.since(since)))
        .filter(|left| !left.is_zero())
        .min()
        // Times have whole seconds.
        .map(|left| left + Duration::from_millis(50))
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
