//! The pod network of a node as the cluster wants it: set up once the node has a pod CIDR, and its
//! peers kept current. What a bridge or a tunnel is, is `runtime`'s business.

mod manager;
mod shared;

pub use manager::{NetworkManager, NetworkManagerArgs};
pub use shared::SharedNetwork;
