//! Puts the network actors of a node on stage.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use kabuki_runtime::net::{Cidr, NodeNetwork};
use kube::Client;
use tokio::sync::watch;

use super::{
    catalog::SharedCatalog,
    cluster_network::{Attacher, ClusterNetwork, NetworkArgs},
    service_proxy::{ProxyArgs, ServiceProxy},
};
use crate::{
    dns::{DnsArgs, DnsServer},
    kernel::{ChildSpec, SupervisorRef, SupervisorSpec},
    kubelet::{NetworkState, PodNetworking},
};

/// Addresses of the cluster and of this node.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Name of the Node object.
    pub node_name: String,
    /// Address of this node, on one of its devices.
    pub node_ip: Ipv4Addr,
    /// Prefix of all pods.
    pub cluster_cidr: Cidr,
    /// Prefix of service addresses.
    pub service_cidr: Cidr,
    /// The cluster DNS address.
    pub dns_ip: Ipv4Addr,
    /// Domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
    /// Where to find resolvers for other names.
    pub resolv_conf: PathBuf,
    /// Prefix of this node's pods, if it is known before its Node object says so.
    pub pod_cidr: Option<Cidr>,
    /// MTU of pods; by default that of the node's device, less 50.
    pub mtu: Option<u32>,
}

/// The network of a node, running.
#[derive(Clone)]
pub struct NetworkHandle {
    /// For [`crate::kubelet::NodeConfig::network`].
    pub pods: Arc<dyn PodNetworking>,
    /// The pod network itself, once it is up.
    pub network: watch::Receiver<Option<NodeNetwork>>,
    /// Services and endpoints.
    pub catalog: SharedCatalog,
}

impl std::fmt::Debug for NetworkHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkHandle").finish_non_exhaustive()
    }
}

/// Starts pod network, service proxy and DNS under `parent`, as `network/{nodes,services,dns}`.
pub fn start(parent: &SupervisorRef, client: Client, settings: NetworkSettings) -> NetworkHandle {
    let group = parent.supervisor("network", SupervisorSpec::one_for_one());
    let (network, network_rx) = watch::channel(None);
    let waiting = NetworkState::Waiting("the pod network is starting".to_owned());
    let (state, state_rx) = watch::channel(waiting);
    let catalog = SharedCatalog::default();
    let (node, dns_ip) = (settings.node_name.clone(), settings.dns_ip);
    let dns = DnsArgs {
        listen: (dns_ip, 53).into(),
        domain: settings.cluster_domain.clone(),
        cluster_cidr: settings.cluster_cidr,
        service_cidr: settings.service_cidr,
        resolv_conf: settings.resolv_conf.clone(),
        catalog: catalog.clone(),
        network: Some(network_rx.clone()),
    };
    let nodes = NetworkArgs {
        client: client.clone(),
        settings,
        network: Arc::new(network),
        state: Arc::new(state),
    };
    group.start::<ClusterNetwork>("nodes", nodes, ChildSpec::default());
    let network = network_rx.clone();
    let proxy = ProxyArgs { client, node, dns_ip, catalog: catalog.clone(), network };
    group.start::<ServiceProxy>("services", proxy, ChildSpec::default());
    group.start::<DnsServer>("dns", dns, ChildSpec::default());
    let pods = Arc::new(Attacher { network: network_rx.clone(), state: state_rx });
    NetworkHandle { pods, network: network_rx, catalog }
}
