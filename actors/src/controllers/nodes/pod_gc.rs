//! Removes pods nobody will finish: of nodes that are gone, never started ones that are being
//! deleted, and the oldest of very many ended ones (upstream: `pkg/controller/podgc`).

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use kabuki_api::kind::{Kind, NODE, POD};

use super::set_condition;
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{Pod, Time, Typed, list},
    },
    registry::{DeleteOptions, View},
};

/// How often everything is looked at.
const PERIOD: Duration = Duration::from_secs(20);
/// Ended pods kept in the cluster.
const MAX_ENDED: usize = 12_500;
/// Pods removed by one decision.
const MAX_AT_ONCE: usize = 500;

/// The controller. Works on one key that stands for all pods.
#[derive(Debug, Clone)]
pub(crate) struct PodGc {
    quarantine: Duration,
    missing: HashMap<String, Time>,
}

impl PodGc {
    /// A node must be missing for `quarantine` before its pods are removed: a pod may be bound to a
    /// node that registers a moment later.
    pub fn new(quarantine: Duration) -> Self {
        Self { quarantine, missing: HashMap::new() }
    }

    fn orphans(
        &mut self,
        view: &dyn View,
        pods: &[Typed<Pod>],
        now: Time,
        plan: &mut Plan,
    ) -> Vec<[Command; 2]> {
        let bound = pods.iter().filter(|pod| !pod.spec.node_name.is_empty());
        let names: HashSet<&str> = bound.clone().map(|pod| pod.spec.node_name.as_str()).collect();
        let gone: HashSet<&str> =
            names.into_iter().filter(|name| view.get(NODE, "", name).is_none()).collect();
        self.missing.retain(|name, _| gone.contains(name.as_str()));
        for name in &gone {
            let since = *self.missing.entry((*name).to_owned()).or_insert(now);
            let left = self.quarantine.saturating_sub(now.since(since));
            if !left.is_zero() {
                plan.requeue_after(left + Duration::from_millis(10));
            }
        }
        bound
            .filter(|pod| {
                self.missing
                    .get(&pod.spec.node_name)
                    .is_some_and(|since| now.since(*since) >= self.quarantine)
            })
            .map(|pod| [fail(pod, now), remove(pod)])
            .collect()
    }
}

impl Controller for PodGc {
    const NAME: &'static str = "pod-garbage-collector";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NODE]
    }

    fn initial(&self) -> Vec<Key> {
        vec![Key::new("", "pods")]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.gone {
            out.extend(self.initial());
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        if self.initial().first() != Some(key) {
            return Ok(Plan::done());
        }
        let mut plan = Plan { stages: Vec::new(), requeue: Some(PERIOD) };
        let pods = list::<Pod>(view, POD, None)?;
        let mut orphans = self.orphans(view, &pods, now, &mut plan);
        orphans.truncate(MAX_AT_ONCE);
        let (fails, mut removals): (Vec<_>, Vec<_>) =
            orphans.into_iter().map(|[fail, remove]| (fail, remove)).unzip();
        plan.then_all(fails);
        let never_started =
            pods.iter().filter(|p| p.metadata.is_deleting() && p.spec.node_name.is_empty());
        removals.extend(never_started.map(remove));
        let mut ended: Vec<_> = pods.iter().filter(|pod| pod.is_terminal()).collect();
        let surplus = ended.len().saturating_sub(MAX_ENDED);
        if surplus > 0 {
            ended.sort_by_key(|pod| pod.metadata.creation_timestamp);
            removals.extend(ended.into_iter().take(surplus).map(remove));
        }
        removals.truncate(MAX_AT_ONCE);
        plan.then_all(removals);
        Ok(plan)
    }
}

fn remove(pod: &Typed<Pod>) -> Command {
    Command::delete_with(&pod.object, DeleteOptions::now(&pod.metadata.uid))
}

/// Says that the pod ended, for whoever counts its outcome.
fn fail(pod: &Typed<Pod>, now: Time) -> Command {
    let mut value = pod.object.value().clone();
    if !pod.is_terminal() {
        value["status"]["phase"] = "Failed".into();
    }
    let message = "PodGC: node no longer exists";
    set_condition(&mut value, "DisruptionTarget", "True", "DeletionByPodGC", message, now);
    Command::update_status(&pod.object, value)
}
