//! The pod network of one node: bridge, veth pairs, addresses, tunnels to the other nodes, and the
//! nftables table of services.
//!
//! Everything is created in the network namespace of the calling thread, which may be the machine's
//! own or one that plays a machine. The kernel's devices are the only record: which pod has which
//! address is written on its veth, so a restarted daemon finds out by looking.
//!
//! A pod's address is a /32 routed through the bridge's address. Pods of one node therefore speak
//! through the host's IP stack, where services are translated on the way out and back, whether or
//! not `br_netfilter` is in the kernel.
//!
//! ```text
//!  pod eth0 10.244.1.5/32 ── kv… ─┐
//!  pod eth0 10.244.1.6/32 ── kv… ─┴ kabuki0 10.244.1.1/24 ── kabuki-vx ── other nodes
//!                                   kabuki-dns 10.96.0.10/32
//! ```

mod attach;
mod cidr;
mod installed;
mod ipam;
mod link;
mod netns;
mod nft;
mod node;
mod peers;
mod rules;
mod spread;
mod table;

pub use self::{
    attach::{Attachment, PodNetwork},
    cidr::Cidr,
    ipam::Ipam,
    netns::in_netns,
    node::{NetworkConfig, NodeNetwork},
    peers::Peer,
    rules::{Affinity, Backend, Frontend, Protocol, Services},
    table::{Applied, ServiceTable},
};

/// The bridge all pods of the node are plugged into.
pub const BRIDGE: &str = "kabuki0";
/// The tunnel to the other nodes.
pub const TUNNEL: &str = "kabuki-vx";
/// Holds the cluster DNS address.
pub const DNS_DEVICE: &str = "kabuki-dns";
/// The one nftables table, family `ip`.
pub const TABLE: &str = "kabuki";
