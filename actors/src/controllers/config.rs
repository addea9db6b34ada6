//! What control actors need to know of their cluster.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use super::ExtensionServers;
use crate::auth::CertificateSigner;

/// Settings of the control plane.
#[derive(Clone)]
pub struct ControlConfig {
    /// PEM of the cluster's CA, published to every namespace as ConfigMap `kube-root-ca.crt`.
    pub root_ca_pem: Arc<str>,
    /// How long a node may be silent before it counts as unreachable.
    pub node_grace: Duration,
    /// How long after the start of the control plane no pod is evicted, so that nodes that could
    /// not reach the old leader can report first.
    pub settle: Duration,
    /// How long a node must be missing before pods bound to it are removed.
    pub orphan_quarantine: Duration,
    /// The range pod addresses come from: first address and prefix length.
    pub pod_cidr: (Ipv4Addr, u8),
    /// Prefix length of one node's part of it.
    pub node_cidr_bits: u8,
    /// Signs approved certificate requests; without it they stay approved.
    pub signer: Option<Arc<dyn CertificateSigner>>,
    /// Looks at extension API servers; without it none is ever available.
    pub extension_servers: Option<Arc<dyn ExtensionServers>>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            root_ca_pem: Arc::from(""),
            node_grace: Duration::from_secs(40),
            settle: Duration::from_secs(15),
            orphan_quarantine: Duration::from_secs(40),
            pod_cidr: (Ipv4Addr::new(10, 244, 0, 0), 16),
            node_cidr_bits: 24,
            signer: None,
            extension_servers: None,
        }
    }
}
