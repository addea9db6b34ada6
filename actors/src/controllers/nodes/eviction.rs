//! Removes pods from nodes with NoExecute taints once their toleration is over
//! (upstream: `pkg/controller/tainteviction`).

use std::{collections::HashMap, time::Duration};

use kabuki_api::kind::{Kind, NODE, POD};

use super::set_condition;
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Note, ObjectRef, Plan, ReconcileError},
        model::{Node, Pod, Taint, Time, Typed, get, list},
    },
    registry::{DeleteOptions, View},
    scheduler::filter::tolerates,
};

/// Pods evicted by one decision.
const MAX_AT_ONCE: usize = 100;

/// The controller.
#[derive(Debug, Clone)]
pub(crate) struct TaintEviction {
    settle: Duration,
    /// When it began to decide.
    started: Option<Time>,
    /// When a taint without a time was first seen, by node and key.
    seen: HashMap<(String, String), Time>,
}

impl TaintEviction {
    /// Nothing is evicted within `settle` of the start: nodes that could not reach the former leader
    /// get the time to report to this one.
    pub fn new(settle: Duration) -> Self {
        Self { settle, started: None, seen: HashMap::new() }
    }

    /// Since when the node has a taint.
    fn since(&mut self, node: &str, taint: &Taint, now: Time) -> Time {
        taint.time_added.unwrap_or_else(|| {
            *self.seen.entry((node.to_owned(), taint.key.clone())).or_insert(now)
        })
    }
}

impl Controller for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NODE, POD]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == NODE {
            out.push(Key::of(&change.object));
            return;
        }
        let Ok(pod) = change.object.typed::<Pod>() else { return };
        let node = get::<Node>(view, NODE, "", &pod.spec.node_name).ok().flatten();
        if !change.gone && node.is_some_and(|node| node.spec.taints.iter().any(evicts)) {
            out.push(Key::new("", &pod.spec.node_name));
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let started = *self.started.get_or_insert(now);
        let node = get::<Node>(view, NODE, "", &key.name)?;
        let taints: Vec<Taint> = node
            .map(|node| node.spec.taints.iter().filter(|taint| evicts(taint)).cloned().collect())
            .unwrap_or_default();
        self.seen
            .retain(|(node, taint), _| *node != key.name || taints.iter().any(|t| t.key == *taint));
        if taints.is_empty() {
            return Ok(Plan::done());
        }
        let since = taints.iter().map(|t| self.since(&key.name, t, now)).max().unwrap_or(now);
        let mut plan = Plan::done();
        let (mut marks, mut deletes) = (Vec::new(), Vec::new());
        let pods = list::<Pod>(view, POD, None)?;
        for pod in pods.iter().filter(|p| p.spec.node_name == key.name && p.is_active()) {
            let Some(tolerance) = tolerance(pod, &taints) else { continue };
            let due = (since + tolerance).max(started + self.settle);
            if due > now {
                plan.requeue_after(due.since(now) + Duration::from_millis(10));
            } else if deletes.len() < MAX_AT_ONCE {
                marks.push(mark(pod, now));
                deletes.push(evict(pod));
            } else {
                plan.requeue_after(Duration::from_millis(100));
            }
        }
        plan.then_all(marks);
        plan.then_all(deletes.into_iter().flatten().collect());
        Ok(plan)
    }
}

fn evicts(taint: &Taint) -> bool {
    taint.effect == "NoExecute"
}

/// How long a pod may stay; `None` is for ever.
fn tolerance(pod: &Pod, taints: &[Taint]) -> Option<Duration> {
    let tolerations = &pod.spec.tolerations;
    let mut least: Option<Duration> = None;
    for taint in taints {
        let covering: Vec<_> = tolerations.iter().filter(|t| tolerates(t, taint)).collect();
        if covering.is_empty() {
            return Some(Duration::ZERO);
        }
        for seconds in covering.iter().filter_map(|t| t.toleration_seconds) {
            let span = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            least = Some(least.map_or(span, |l| l.min(span)));
        }
    }
    least
}

fn mark(pod: &Typed<Pod>, now: Time) -> Command {
    let mut value = pod.object.value().clone();
    let message = "Taint manager: deleting due to NoExecute taint";
    set_condition(&mut value, "DisruptionTarget", "True", "DeletionByTaintManager", message, now);
    Command::update_status(&pod.object, value)
}

fn evict(pod: &Typed<Pod>) -> [Command; 2] {
    let meta = &pod.metadata;
    let note = format!("Marking for deletion Pod {}/{}", meta.namespace, meta.name);
    let options = DeleteOptions { uid: Some(meta.uid.clone()), ..DeleteOptions::default() };
    [
        Command::Record(Note::normal(ObjectRef::to(&pod.object), "TaintManagerEviction", note)),
        Command::delete_with(&pod.object, options),
    ]
}
