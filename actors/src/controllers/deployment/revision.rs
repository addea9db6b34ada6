//! Revisions: which ReplicaSet is the new one, and what its annotations say
//! (upstream: `SetNewReplicaSetAnnotations` and neighbours).

use super::{bounds::max_surge, hash::same_template, sets::Set};
use crate::controllers::model::{Deployment, LabelMap};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a Deployment that say nothing about a revision.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
/// Longest revision history kept in the annotation, in bytes.
const MAX_HISTORY_BYTES: usize = 2000;

/// Position of the ReplicaSet that has the Deployment's template; the oldest one if several do.
pub(super) fn find_new(deployment: &Deployment, sets: &[Set]) -> Option<usize> {
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by(|a, b| by_age(&sets[*a], &sets[*b]));
    order.into_iter().find(|at| same_template(&sets[*at].spec.template, &deployment.spec.template))
}

/// Older first.
pub(super) fn by_age(a: &Set, b: &Set) -> std::cmp::Ordering {
    let key = |set: &Set| (set.metadata.creation_timestamp, set.metadata.name.clone());
    key(a).cmp(&key(b))
}

/// The revision a ReplicaSet carries; 0 without one.
pub(super) fn revision_of(set: &Set) -> i64 {
    set.annotation(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Annotations of a new ReplicaSet.
pub(super) fn fresh_annotations(deployment: &Deployment, revision: i64) -> LabelMap {
    let mut annotations: LabelMap = copied(deployment).collect();
    annotations.insert(REVISION.into(), revision.to_string());
    let replicas = deployment.spec.replicas;
    annotations.insert(DESIRED_REPLICAS.into(), replicas.to_string());
    annotations.insert(MAX_REPLICAS.into(), (replicas + max_surge(deployment)).to_string());
    annotations
}

/// Brings the annotations of the ReplicaSet that is the new one up to date. One that was the new
/// one before (a rollback) moves to the front and remembers the revisions it was.
pub(super) fn refresh_annotations(deployment: &Deployment, set: &mut Set, revision: i64) {
    for (name, text) in copied(deployment) {
        set.annotate(&name, &text);
    }
    let old = revision_of(set);
    if old >= revision {
        return;
    }
    set.annotate(REVISION, &revision.to_string());
    if old == 0 {
        return;
    }
    let mut history = set.annotation(REVISION_HISTORY).unwrap_or_default().to_owned();
    if !history.is_empty() {
        history.push(',');
    }
    history.push_str(&old.to_string());
    while history.len() > MAX_HISTORY_BYTES
        && let Some((_, rest)) = history.split_once(',')
    {
        history = rest.to_owned();
    }
    set.annotate(REVISION_HISTORY, &history);
}

fn copied(deployment: &Deployment) -> impl Iterator<Item = (String, String)> {
    deployment
        .metadata
        .annotations
        .iter()
        .filter(|(name, _)| !NOT_COPIED.contains(&name.as_str()))
        .map(|(name, text)| (name.clone(), text.clone()))
}
