//! The scheduler: finds a node for every pod that has none.
//!
//! A decision ([`decide`]) is a pure function of the nodes with the pods on them, which the actor
//! keeps up to date by difference. It filters (room, selector and affinity, taints, ports, pod
//! affinity, spread), scores what is left with upstream's default weights and takes the best.
//! A chosen node counts as taken at once, while the bind is still under way. Pods that fit nowhere
//! wait until something changes that may help. Preemption is not here.

mod actor;
#[cfg(test)]
mod actor_tests;
mod assume;
mod cluster;
mod decide;
pub(crate) mod filter;
mod hands;
mod neighbours;
mod node_info;
mod pod_info;
mod queue;
mod resources;
mod score;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{
    controllers::framework::{EventRecorder, Stage},
    kernel::{ChildSpec, SupervisorRef},
    registry::Registry,
};

/// Puts the scheduler on stage below `parent`. `registry` must be fenced with the term in which this
/// member leads.
pub fn start(parent: &SupervisorRef, registry: Registry) {
    let spec = ChildSpec::default();
    let recorder = parent.start::<EventRecorder>("scheduler-events", registry.clone(), spec);
    let stage = Stage::new(registry.clone(), recorder);
    let hands = Arc::new(hands::RealHands { stage, registry });
    parent.start::<actor::Scheduler>("scheduler", hands, ChildSpec::default());
}
