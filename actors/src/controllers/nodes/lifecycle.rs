//! Whether nodes live (upstream: `pkg/controller/nodelifecycle`).
//!
//! A node lives while its lease or its status changes. What counts is when this controller saw a
//! change, not the time written in it: clocks differ, and after a change of leadership every node
//! gets the whole grace period again.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use kabuki_api::kind::{Kind, LEASE, NODE, POD};
use serde_json::json;

use super::{set_condition, taints};
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Note, ObjectRef, Plan, ReconcileError},
        model::{Condition, Lease, Node, Pod, Time, Typed, condition, get, list},
    },
    registry::View,
};

const LEASES: &str = "kube-node-lease";
/// Conditions a kubelet reports, Ready first.
const CONDITIONS: &[&str] = &["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What a node last said, and when that was seen here.
#[derive(Debug, Clone, PartialEq)]
struct Probe {
    renewed: Option<Time>,
    heartbeat: Option<Time>,
    seen: Time,
}

/// The controller.
#[derive(Debug, Clone)]
pub(crate) struct NodeLifecycle {
    grace: Duration,
    probes: HashMap<String, Probe>,
    /// Nodes whose condition Ready is True.
    ready: HashSet<String>,
}

impl NodeLifecycle {
    /// A node that is silent for longer than `grace` counts as unreachable.
    pub fn new(grace: Duration) -> Self {
        Self { grace, probes: HashMap::new(), ready: HashSet::new() }
    }

    /// Counts the node among the ready ones or not. When the last one goes, or the first one comes,
    /// all nodes have to be looked at again.
    fn count(&mut self, change: &Change) -> bool {
        let ready = !change.gone
            && change.object.typed::<Node>().is_ok_and(|node| {
                condition(&node.status.conditions, "Ready").is_some_and(Condition::is_true)
            });
        let none_before = self.ready.is_empty();
        if ready {
            self.ready.insert(change.object.name().to_owned());
        } else {
            self.ready.remove(change.object.name());
        }
        none_before != self.ready.is_empty()
    }

    /// How long the node has been silent.
    fn silence(
        &mut self,
        view: &dyn View,
        node: &Node,
        now: Time,
    ) -> Result<Duration, ReconcileError> {
        let name = &node.metadata.name;
        let lease = get::<Lease>(view, LEASE, LEASES, name)?;
        let renewed = lease.and_then(|lease| lease.spec.renew_time);
        let heartbeat = node.status.conditions.iter().filter_map(|c| c.last_heartbeat_time).max();
        let heartbeat = heartbeat.filter(|_| !is_unknown(node));
        let probe =
            self.probes.entry(name.clone()).or_insert(Probe { renewed, heartbeat, seen: now });
        let spoke =
            probe.renewed != renewed || (heartbeat.is_some() && probe.heartbeat != heartbeat);
        if spoke {
            *probe = Probe { renewed, heartbeat: heartbeat.or(probe.heartbeat), seen: now };
        }
        Ok(now.since(probe.seen))
    }
}

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NODE, LEASE]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == LEASE {
            if change.object.namespace() == LEASES {
                out.push(Key::new("", change.object.name()));
            }
        } else if self.count(change) {
            out.extend(view.list(NODE, None).iter().map(|node| Key::of(node)));
        } else {
            out.push(Key::of(&change.object));
        }
    }

    fn forget(&mut self, kind: &'static Kind) {
        if kind == NODE {
            self.ready.clear();
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(node) = get::<Node>(view, NODE, "", &key.name)? else {
            self.probes.remove(&key.name);
            return Ok(Plan::done());
        };
        let silent = self.silence(view, &node, now)?;
        if silent > self.grace && !is_unknown(&node) {
            return declare_unknown(view, &node, now);
        }
        let mut plan = Plan::done();
        if let Some(command) = taint(&node, !self.ready.is_empty(), now) {
            plan.then(command);
        }
        // A kubelet that still reports, even that it is not ready, says itself how its pods are.
        if is_unknown(&node) {
            plan.then_all(pods_not_ready(view, &key.name, now)?);
        }
        if silent <= self.grace {
            plan.requeue_after(self.grace.saturating_sub(silent) + Duration::from_millis(10));
        }
        Ok(plan)
    }
}

fn is_unknown(node: &Node) -> bool {
    condition(&node.status.conditions, "Ready").is_some_and(|c| c.status == "Unknown")
}

/// The node fell silent. The taints follow with the change this makes.
fn declare_unknown(view: &dyn View, node: &Typed<Node>, now: Time) -> Result<Plan, ReconcileError> {
    let mut value = node.object.value().clone();
    for kind in CONDITIONS {
        let known = condition(&node.status.conditions, kind).is_some();
        let (reason, message) = if known {
            ("NodeStatusUnknown", "Kubelet stopped posting node status.")
        } else {
            ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
        };
        set_condition(&mut value, kind, "Unknown", reason, message, now);
    }
    let name = &node.metadata.name;
    let on = ObjectRef::to(&node.object);
    let note = format!("Node {name} status is now: NodeNotReady");
    let mut plan = Plan::one(Command::update_status(&node.object, value));
    let mut rest = pods_not_ready(view, name, now)?;
    rest.push(Command::Record(Note::normal(on, "NodeNotReady", note)));
    plan.then_all(rest);
    Ok(plan)
}

fn taint(node: &Typed<Node>, may_evict: bool, now: Time) -> Option<Command> {
    let wanted = taints::wanted(node, may_evict, now);
    if taints::same(&wanted, &node.spec.taints) {
        return None;
    }
    let mut value = node.object.value().clone();
    value["spec"]["taints"] = json!(wanted);
    Some(Command::update(&node.object, value))
}

/// Takes the pods of a silent node out of their services.
fn pods_not_ready(view: &dyn View, node: &str, now: Time) -> Result<Vec<Command>, ReconcileError> {
    let pods = list::<Pod>(view, POD, None)?;
    let here = pods.iter().filter(|pod| pod.spec.node_name == node && pod.is_ready());
    Ok(here
        .map(|pod| {
            let mut value = pod.object.value().clone();
            set_condition(&mut value, "Ready", "False", "NodeNotReady", "", now);
            Command::update_status(&pod.object, value)
        })
        .collect())
}
