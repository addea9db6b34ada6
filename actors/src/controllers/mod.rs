//! The controllers: pure decisions, and the actors that carry them out on the leader.
//!
//! [`start`] puts all of them on stage below one supervisor. Each controller is a
//! `framework::Controller`: it decides on a [`crate::registry::View`] and returns commands, which one
//! generic actor carries out through a fenced registry. What is deliberately not here: caches (the
//! store's state in memory is the cache) and leader election (see [`LeaderGate`]).

mod apiservices;
mod certificates;
mod claim;
mod config;
mod definitions;
mod deployment;
mod endpoints;
pub(crate) mod framework;
mod gc;
mod leader_gate;
pub(crate) mod model;
mod nodes;
mod protection;
mod quota;
mod replicaset;
mod small;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod storm;

use std::sync::Arc;

pub use apiservices::{ExtensionServers, Look};
pub use config::ControlConfig;
pub use leader_gate::{LeaderGate, LeaderGateArgs};

use crate::{
    auth::Authorizer,
    kernel::{ChildSpec, SupervisorRef},
    registry::Registry,
};
use framework::{Backend, Controller, EventRecorder, Reconciler, ReconcilerArgs, Stage};

/// Puts all controllers on stage below `parent`. `registry` must be fenced with the term in which
/// this member leads.
pub fn start(parent: &SupervisorRef, registry: Registry, config: &ControlConfig) {
    let recorder = parent.start::<EventRecorder>("events", registry.clone(), ChildSpec::default());
    let authorizer = Authorizer::new(registry.clone());
    let stage: Arc<dyn Backend> = Stage::new(registry, recorder);
    let cast = Cast { parent, stage };
    cast.play("serviceaccount", small::ServiceAccountController);
    let ca_pem = Arc::clone(&config.root_ca_pem);
    cast.play("root-ca", small::RootCaPublisher { ca_pem });
    cast.play("deployment", deployment::DeploymentController);
    cast.play("replicaset", replicaset::ReplicaSetController);
    cast.play("endpointslice", endpoints::EndpointSliceController);
    cast.play("endpoints", endpoints::EndpointsController);
    cast.play("node-lifecycle", nodes::NodeLifecycle::new(config.node_grace));
    cast.play("taint-eviction", nodes::TaintEviction::new(config.settle));
    let (range, node_bits) = (config.pod_cidr, config.node_cidr_bits);
    cast.play("node-ipam", nodes::NodeIpam { range, node_bits });
    cast.play("pod-gc", nodes::PodGc::new(config.orphan_quarantine));
    cast.play("garbage-collector", gc::GarbageCollector::default());
    cast.play("definitions", definitions::DefinitionController);
    cast.play("namespace", small::NamespaceController);
    cast.play("resourcequota", quota::ResourceQuotaController);
    cast.play("storage-protection", protection::ProtectionController);
    cast.play("bootstrap-token", small::BootstrapTokenCleaner);
    cast.play("event-ttl", small::EventCleaner);
    cast.play("flow-schema-status", small::FlowSchemaStatus);
    cast.play("clusterrole-aggregation", small::ClusterRoleAggregation);
    cast.play("certificate-approving", certificates::Approver::new(authorizer));
    if let Some(authority) = config.signer.clone() {
        cast.play("certificate-signing", certificates::Signer { authority });
    }
    cast.play("certificate-cleaner", certificates::Cleaner);
    let servers = config.extension_servers.clone();
    cast.play("apiservice-availability", apiservices::Availability { servers });
}

struct Cast<'a> {
    parent: &'a SupervisorRef,
    stage: Arc<dyn Backend>,
}

impl Cast<'_> {
    fn play<C: Controller>(&self, id: &str, controller: C) {
        let args = ReconcilerArgs { controller, backend: Arc::clone(&self.stage) };
        self.parent.start::<Reconciler<C>>(id, args, ChildSpec::default());
    }
}
