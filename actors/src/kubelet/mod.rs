//! The kubelet: everything a node does for the pods bound to it, except services and DNS.
//!
//! Decisions are pure ([`machine`], [`status`], [`env`], [`resources`]); thin actors carry them
//! out: [`kubelet::Kubelet`] follows the API and keeps one [`worker::PodWorker`] per pod, the node
//! reporter registers the Node and keeps its lease, the event recorder writes events. Containers
//! live in shims of `kabuki_runtime`: neither a panic here nor the end of the daemon touches them.

mod admission;
mod adoption;
mod backoff;
pub mod config;
pub mod context;
mod dns;
pub mod env;
pub mod events;
mod images;
#[allow(clippy::module_inception)]
pub mod kubelet;
pub mod logs;
pub mod machine;
pub mod networking;
pub mod node;
mod objects;
pub mod pod_view;
mod probe;
pub mod resources;
pub mod sandbox;
mod security;
mod services;
mod start;
pub mod status;
mod volumes;
pub mod worker;

#[cfg(test)]
mod tests;

pub use config::NodeConfig;
pub use networking::{NetworkState, PodNetworking};
pub use start::{NodeHandle, StartError, start};
pub use volumes::remove_all as remove_pod_data;
