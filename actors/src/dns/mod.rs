//! Cluster DNS, answered on every node at the cluster DNS address from the catalogue the service
//! proxy keeps: no query leaves the node for a cluster name.
//!
//! Follows the Kubernetes DNS specification 1.1.0 for IPv4: services, headless services with their
//! endpoints' names, SRV, PTR, external names as CNAME, pod names by address. Other names go to the
//! node's own resolvers. There is no cache.

mod answer;
mod forward;
mod listen;
mod respond;
mod server;
#[cfg(test)]
mod tests;
mod zone;

pub use server::{DnsArgs, DnsServer};
pub use zone::{Answer, Target, Zone};
