//! The node's network as the cluster wants it: the pod network, tunnels to the other nodes, and
//! services in the kernel's table. Cluster DNS reads the same catalogue ([`crate::dns`]).
//!
//! Nothing here is needed to keep traffic flowing: devices and table stay as they are while the
//! daemon is down or the control plane is away, and are adopted by the next one.

mod catalog;
mod cluster_network;
mod desired;
mod extract;
mod follow;
mod service_proxy;
mod start;

pub use catalog::{
    Catalog, EndpointInfo, PortInfo, ServiceInfo, ServiceKind, SharedCatalog, SliceInfo, SlicePort,
};
pub use desired::desired;
pub use start::{NetworkHandle, NetworkSettings, start};
