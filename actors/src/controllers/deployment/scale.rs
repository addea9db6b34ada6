//! Numbers of pods per ReplicaSet: rolling, recreating, proportional scaling. Pure arithmetic over
//! [`Set`]s (upstream: `rolling.go`, `recreate.go`, `sync.go`).

use super::{
    bounds::{is_rolling, max_surge, max_unavailable},
    revision::{DESIRED_REPLICAS, MAX_REPLICAS, by_age},
    sets::{Set, asked, counted},
};
use crate::controllers::model::Deployment;

/// A number that was decided, for the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaled {
    pub name: String,
    pub from: i64,
    pub to: i64,
}

/// How many pods the new ReplicaSet may have now.
pub(super) fn new_set_replicas(deployment: &Deployment, present: i64, all: i64) -> i64 {
    let wanted = deployment.spec.replicas;
    if !is_rolling(deployment) {
        return wanted;
    }
    let room = wanted + max_surge(deployment) - all;
    if room <= 0 {
        return present;
    }
    present + room.min(wanted - present)
}

/// Decides a number and notes on the ReplicaSet what it was decided for.
pub(super) fn scale_set(deployment: &Deployment, set: &mut Set, to: i64) -> Option<Scaled> {
    let from = set.replicas;
    set.set_replicas(to);
    note_sizes(deployment, set);
    (from != to).then(|| Scaled { name: set.metadata.name.clone(), from, to })
}

fn note_sizes(deployment: &Deployment, set: &mut Set) {
    let replicas = deployment.spec.replicas;
    set.annotate(DESIRED_REPLICAS, &replicas.to_string());
    set.annotate(MAX_REPLICAS, &(replicas + max_surge(deployment)).to_string());
}

/// Whether the Deployment was scaled since its ReplicaSets were.
pub(super) fn is_scaling_event(deployment: &Deployment, sets: &[Set]) -> bool {
    sets.iter().filter(|set| set.replicas > 0).any(|set| {
        set.annotation(DESIRED_REPLICAS)
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|desired| desired != deployment.spec.replicas)
    })
}

/// One step of a rolling update for the old ReplicaSets: first pods that never became available,
/// then as many as the available ones allow.
pub(super) fn shrink_old(
    deployment: &Deployment,
    new: Option<&Set>,
    old: &mut [Set],
) -> Vec<Scaled> {
    let mut scaled = Vec::new();
    let (new_asked, new_available) =
        new.map_or((0, 0), |set| (set.replicas, set.status.available_replicas));
    let all = asked(old) + new_asked;
    if asked(old) == 0 {
        return scaled;
    }
    let least = deployment.spec.replicas - max_unavailable(deployment);
    let new_unavailable = new_asked - new_available;
    let mut budget = all - least - new_unavailable;
    if budget <= 0 {
        return scaled;
    }
    old.sort_by(by_age);
    for set in old.iter_mut().filter(|set| set.replicas > 0) {
        let broken = (set.replicas - set.status.available_replicas).max(0).min(budget);
        if broken > 0 {
            budget -= broken;
            scaled.extend(scale_set(deployment, set, set.replicas - broken));
        }
    }
    let available = counted(old, |set| set.status.available_replicas) + new_available;
    let mut budget = available - least;
    for set in old.iter_mut().filter(|set| set.replicas > 0) {
        let fewer = set.replicas.min(budget);
        if fewer > 0 {
            budget -= fewer;
            scaled.extend(scale_set(deployment, set, set.replicas - fewer));
        }
    }
    // Both steps may have met the same ReplicaSet: tell it once.
    scaled.sort_by(|a, b| a.name.cmp(&b.name));
    scaled.dedup_by(|later, first| {
        let same = later.name == first.name;
        if same {
            first.to = first.to.min(later.to);
            first.from = first.from.max(later.from);
        }
        same
    });
    scaled
}

/// Follows a change of `spec.replicas` in the middle of a rollout, or while paused: every
/// ReplicaSet gets its share.
pub(super) fn follow_scaling(
    deployment: &Deployment,
    new: Option<&mut Set>,
    old: &mut [Set],
) -> Vec<Scaled> {
    let mut sets: Vec<&mut Set> = new.into_iter().collect();
    let has_new = !sets.is_empty();
    let wanted = deployment.spec.replicas;
    let new_is_full = sets.first().is_some_and(|set| is_saturated(deployment, set));
    old.sort_by(by_age);
    sets.extend(old.iter_mut());
    let active = sets.iter().filter(|set| set.replicas > 0).count();
    if active <= 1 {
        // The only active one; or, with none, the new one or else the youngest.
        let at = sets.iter().position(|set| set.replicas > 0);
        let at = at.or_else(|| if has_new { Some(0) } else { sets.len().checked_sub(1) });
        let only = at.and_then(|at| sets.into_iter().nth(at));
        return only.and_then(|set| scale_set(deployment, set, wanted)).into_iter().collect();
    }
    if new_is_full {
        let rest = sets.into_iter().skip(usize::from(has_new)).filter(|set| set.replicas > 0);
        return rest.filter_map(|set| scale_set(deployment, set, 0)).collect();
    }
    if !is_rolling(deployment) {
        return Vec::new();
    }
    proportionally(deployment, sets.into_iter().filter(|set| set.replicas > 0).collect())
}

/// Whether the new ReplicaSet is what the Deployment wants, so that old ones are leftovers.
fn is_saturated(deployment: &Deployment, set: &Set) -> bool {
    let desired = set.annotation(DESIRED_REPLICAS).and_then(|text| text.parse::<i64>().ok());
    let wanted = deployment.spec.replicas;
    set.replicas == wanted && desired == Some(wanted) && set.status.available_replicas == wanted
}

fn proportionally(deployment: &Deployment, mut sets: Vec<&mut Set>) -> Vec<Scaled> {
    let wanted = deployment.spec.replicas;
    let allowed = if wanted > 0 { wanted + max_surge(deployment) } else { 0 };
    let to_add = allowed - sets.iter().map(|set| set.replicas).sum::<i64>();
    // Larger ones first; among equals grow the younger and shrink the older.
    sets.sort_by(|a, b| {
        let age = if to_add > 0 { by_age(b, a) } else { by_age(a, b) };
        b.replicas.cmp(&a.replicas).then(age)
    });
    let mut added = 0;
    let mut sizes: Vec<i64> = Vec::with_capacity(sets.len());
    for set in &sets {
        let share = share(deployment, set, to_add, added);
        sizes.push(set.replicas + share);
        added += share;
    }
    // What rounding left over goes to the largest.
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    let decided = sets.into_iter().zip(sizes);
    decided.filter_map(|(set, size)| scale_set(deployment, set, size)).collect()
}

/// The part of a change of size that belongs to one ReplicaSet.
fn share(deployment: &Deployment, set: &Set, to_add: i64, added: i64) -> i64 {
    if set.replicas == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = if deployment.spec.replicas == 0 {
        -set.replicas
    } else {
        let maximum = deployment.spec.replicas + max_surge(deployment);
        let noted = set.annotation(MAX_REPLICAS).and_then(|text| text.parse::<i64>().ok());
        let before = noted.filter(|n| *n > 0).unwrap_or(deployment.status.replicas).max(1);
        // Rounded to the nearest.
        (set.replicas * maximum * 2 + before).div_euclid(before * 2) - set.replicas
    };
    let left = to_add - added;
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}
