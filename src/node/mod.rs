//! A worker: its identity on disk, and everything it runs.

mod identity;
mod renewal;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use kabuki_actors::{
    herald::{Herald, HeraldArgs, Outlet},
    kernel::{ChildSpec, Kernel, SupervisorRef, SupervisorSpec},
    kubelet::{self, NodeConfig},
    link,
    proxy::{self, NetworkHandle, NetworkSettings},
};
use kabuki_runtime::{Runtime, RuntimeConfig, net::Cidr};
use tokio::sync::watch;

use self::identity::MEMBERS_FILE;
pub use self::identity::{NodeIdentity, identity, local_identity};
use crate::{
    cmd::{ClusterOptions, NodeOptions, instance_suffix},
    pki::{self, ClusterPki, Credential},
};

/// Address of the cluster DNS on every node.
pub const CLUSTER_DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// Domain of the cluster.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// Name checked in the members' certificates.
const SERVER_NAME: &str = "kubernetes.default.svc";
/// Pods a node takes at most (kubelet's own default).
const MAX_PODS: u32 = 110;
/// The machine's resolvers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Keeps the node's pod CIDR.
const POD_CIDR_FILE: &str = "pod-cidr";
/// Directories and groups of one node.
#[derive(Debug, Clone)]
pub struct NodePaths {
    /// Persistent files of the node.
    pub root: PathBuf,
    /// Sockets, namespaces and shim states; on tmpfs.
    pub run: PathBuf,
    /// Cgroup below which its pods live.
    pub cgroup_root: String,
}

impl NodePaths {
    /// The paths for a data directory, as flags or defaults say.
    pub fn new(data_dir: &Path, options: &NodeOptions) -> Self {
        let suffix = instance_suffix(data_dir);
        Self {
            root: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.into()).join("node"),
            run: options
                .run_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("/run/kabuki{suffix}"))),
            cgroup_root: options
                .cgroup_root
                .clone()
                .unwrap_or_else(|| format!("/kubepods{suffix}")),
        }
    }

    /// What the container runtime is opened with.
    ///
    /// # Errors
    /// When the program's own path is unknown.
    pub fn runtime(&self) -> anyhow::Result<RuntimeConfig> {
        Ok(RuntimeConfig {
            root: self.root.clone(),
            run: self.run.clone(),
            log_root: self.root.join("logs"),
            cgroup_root: self.cgroup_root.clone(),
            exe: std::env::current_exe().context("cannot find this program's own file")?,
        })
    }
}

/// What a node keeps alive while it runs.
pub struct Node {
    _balancer: Option<link::Balancer>,
    _dialer: link::Dialer,
}

/// The member in the same process, when there is one.
pub struct LocalMember {
    /// Its API.
    pub api: SocketAddr,
    /// Issues the node's certificate without asking over the network.
    pub pki: Arc<ClusterPki>,
}

/// Starts everything of a node below the kernel's root. Without a member in this process it goes
/// through a balancer.
///
/// # Errors
/// When the runtime or the link cannot be set up.
pub async fn start(
    cluster: &ClusterOptions,
    options: &NodeOptions,
    identity: NodeIdentity,
    kernel: &Kernel,
    local: Option<LocalMember>,
) -> anyhow::Result<Node> {
    let IpAddr::V4(address) = cluster.address()? else {
        bail!("nodes need an IPv4 address: pass --advertise-address");
    };
    let alone = local.is_none();
    let paths = NodePaths::new(&cluster.data_dir, options);
    let runtime =
        Runtime::new(paths.runtime()?).await.context("cannot open the container runtime")?;
    crate::control::serve(&paths.run, &runtime).context("cannot make the control socket")?;
    let (members, seen) = watch::channel(identity.members.clone());
    let credential = Credential::new(identity.client.clone(), "")?;
    let tls = Arc::new(pki::client_config(&identity.ca_pem, Some(&credential), cluster.clock)?);
    let (balancer, api_address) = match &local {
        Some(member) => (None, member.api),
        None => {
            let config = link::BalancerConfig {
                members: seen.clone(),
                tls: tls.clone(),
                server_name: SERVER_NAME.to_string(),
            };
            let balancer =
                link::Balancer::start(config).await.context("cannot start the balancer")?;
            let address = balancer.address();
            (Some(balancer), address)
        }
    };
    let (client, rotating) = link::RotatingClient::new(link::ApiClientConfig {
        address: api_address,
        server_name: SERVER_NAME.to_string(),
        ca_pem: identity.ca_pem.clone(),
        certificate_pem: identity.client.cert_pem.clone(),
        key_pem: identity.client.key_pem.clone(),
    })
    .await?;

    let stage = kernel.root().supervisor("node", SupervisorSpec::one_for_one());
    let follower = link::MemberFollowerArgs {
        client: client.clone(),
        members,
        memory: paths.root.join(MEMBERS_FILE),
    };
    renewal::start(&stage, &identity, credential, rotating, &paths.root, (local, cluster.clock));
    stage.start::<link::MemberFollower>("members", follower, ChildSpec::default());
    let network = start_network(&stage, &client, &identity.name, address, &paths).await?;
    let config = NodeConfig {
        name: identity.name.clone(),
        node_ips: vec![IpAddr::V4(address)],
        labels: labels(&options.labels)?,
        taints: Vec::new(),
        client,
        runtime: Arc::new(runtime),
        network: network.pods,
        root: paths.root.clone(),
        run: paths.run.clone(),
        log_root: paths.root.join("logs"),
        cluster_dns: IpAddr::V4(CLUSTER_DNS),
        cluster_domain: CLUSTER_DOMAIN.to_string(),
        resolv_conf: PathBuf::from(RESOLV_CONF),
        max_pods: MAX_PODS,
        insecure_registries: options.insecure_registries.clone(),
        version: format!("v1.36.0+kabuki-{}", env!("CARGO_PKG_VERSION")),
    };
    let running = kubelet::start(&stage, config).await.context("cannot start the kubelet")?;
    // In `kabuki up` the member beside it has one for the whole process.
    if alone {
        let outlet = Outlet::Recorder(running.context().recorder.clone());
        let args = HeraldArgs { kernel: kernel.clone(), machine: identity.name.clone(), outlet };
        stage.start::<Herald>("herald", args, ChildSpec::default());
    }
    let handler = running.link_handler(kernel.clone());
    let dialer = link::Dialer::start(link::DialerConfig {
        members: seen,
        tls,
        server_name: SERVER_NAME.to_string(),
        handler,
    });
    Ok(Node { _balancer: balancer, _dialer: dialer })
}

/// Starts pod network, services and DNS. The node's pod CIDR is remembered, so that a node that
/// starts while the API is away has its network at once.
async fn start_network(
    stage: &SupervisorRef,
    client: &kube::Client,
    name: &str,
    address: Ipv4Addr,
    paths: &NodePaths,
) -> anyhow::Result<NetworkHandle> {
    let memory = paths.root.join(POD_CIDR_FILE);
    let known = tokio::fs::read_to_string(&memory).await.ok().and_then(|t| parse_cidr(&t));
    let settings = NetworkSettings {
        node_name: name.to_string(),
        node_ip: address,
        cluster_cidr: Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 16)?,
        service_cidr: Cidr::new(Ipv4Addr::new(10, 96, 0, 0), 12)?,
        dns_ip: CLUSTER_DNS,
        cluster_domain: CLUSTER_DOMAIN.to_string(),
        resolv_conf: PathBuf::from(RESOLV_CONF),
        pod_cidr: known,
        mtu: None,
    };
    let handle = proxy::start(stage, client.clone(), settings);
    let mut network = handle.network.clone();
    tokio::spawn(async move {
        let Ok(network) = network.wait_for(Option::is_some).await.map(|n| n.clone()) else {
            return;
        };
        let Some(cidr) = network.map(|n| n.config().pod_cidr) else { return };
        let text = format!("{}/{}\n", cidr.base(), cidr.len());
        if let Err(error) = tokio::fs::write(&memory, text).await {
            tracing::warn!(%error, path = %memory.display(), "cannot remember the pod CIDR");
        }
    });
    Ok(handle)
}

fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, len) = text.trim().split_once('/')?;
    Cidr::new(address.parse().ok()?, len.parse().ok()?).ok()
}

fn labels(pairs: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    pairs
        .iter()
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--node-label {pair:?}: write key=value"))?;
            Ok((key.to_string(), value.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_pod_cidr_is_forgotten() {
        assert_eq!(parse_cidr("10.244.3.0/24\n"), Cidr::new([10, 244, 3, 0].into(), 24).ok());
        for bad in ["", "10.244.3.0", "x/24", "10.244.3.0/99"] {
            assert!(parse_cidr(bad).is_none(), "{bad}");
        }
    }
}
