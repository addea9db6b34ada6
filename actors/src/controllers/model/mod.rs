//! The parts of objects that control actors look at, decoded once per revision and shared.
//!
//! These are deliberately small: unknown fields are skipped while decoding, and whoever writes an
//! object changes the full JSON value, so nothing is lost. There is one type per kind for all
//! controllers and the scheduler, because an object keeps one decoded form.

mod cluster;
mod meta;
mod pod;
mod service;
mod time;
mod typed;
mod workload;

pub(crate) use cluster::{Lease, Namespace, Node, Secret, Taint};
pub(crate) use meta::{Condition, LocalRef, Meta, OwnerReference, condition};
pub(crate) use pod::{
    Container, LabelMap, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
    PodAffinityTerm, PodSpec, Toleration, TopologySpreadConstraint, WeightedPodAffinityTerm,
};
pub(crate) use service::{
    Endpoint, EndpointConditions, EndpointPort, EndpointSlice, IntOrString, Service, ServicePort,
    TargetRef,
};
pub(crate) use time::Time;
pub(crate) use typed::{Typed, get, list};
pub(crate) use workload::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetStatus};
