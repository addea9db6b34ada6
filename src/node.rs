//! A worker: its identity on disk, and everything it runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use kabuki_actors::{
    kernel::{ChildSpec, Kernel, SupervisorRef, SupervisorSpec},
    kubelet::{self, NodeConfig},
    link,
    proxy::{self, NetworkHandle, NetworkSettings},
};
use kabuki_runtime::{Runtime, RuntimeConfig, net::Cidr};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    cmd::{ClusterOptions, NodeOptions, instance_suffix},
    join::{self, JoinRequest, JoinToken, Role},
    pki::{self, ClusterPki, Issued, read_file, write_private, write_public},
};

/// Version of `node.json`.
const STATE_VERSION: u32 = 1;
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
/// Keeps the members' addresses as last seen, one per line.
const MEMBERS_FILE: &str = "members";

/// What `node.json` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct NodeState {
    version: u32,
    name: String,
}

/// Who a node is and whom it talks to.
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// The cluster's authority, PEM.
    pub ca_pem: String,
    /// Its client certificate.
    pub client: Issued,
    /// `host:port` of the members' API ports.
    pub members: Vec<String>,
}

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

/// The identity of a node that joins from elsewhere: kept from before, or got with the token.
///
/// # Errors
/// When there is neither, the cluster refuses, or the data directory is another node's.
pub async fn identity(
    cluster: &ClusterOptions,
    joining: Option<(&str, &JoinToken)>,
) -> anyhow::Result<NodeIdentity> {
    let name = cluster.machine_name()?;
    let dir = cluster.data_dir.join("node");
    if let Some(kept) = load(&dir, &name)? {
        return Ok(kept);
    }
    let Some((url, token)) = joining else {
        bail!("this node has not joined a cluster yet: pass --join URL --token TOKEN");
    };
    let (csr, key_pem) = pki::request()?;
    let request = JoinRequest { role: Role::Node, name: name.clone(), csr: Some(csr) };
    let answer = join::join(url, token, &request).await?;
    let cert_pem = answer.client_certificate.context("the cluster's answer has no certificate")?;
    let members: Vec<String> = answer.members.into_iter().map(|m| m.api_addr).collect();
    let identity =
        NodeIdentity { name, ca_pem: answer.ca, client: Issued { cert_pem, key_pem }, members };
    save(&dir, &identity)?;
    Ok(identity)
}

/// The identity of the node inside `kabuki up`, issued by the member beside it.
///
/// # Errors
/// When no certificate can be made.
pub fn local_identity(
    name: &str,
    pki: &ClusterPki,
    api_addr: &str,
) -> anyhow::Result<NodeIdentity> {
    Ok(NodeIdentity {
        name: name.to_string(),
        ca_pem: pki.ca.cert_pem().to_string(),
        client: pki.client(&format!("system:node:{name}"), &["system:nodes"])?,
        members: vec![api_addr.to_string()],
    })
}

/// What a node keeps alive while it runs.
pub struct Node {
    _balancer: Option<link::Balancer>,
    _dialer: link::Dialer,
}

/// Starts everything of a node below the kernel's root. `local_api` is the API of a member in this
/// process; other nodes go through a balancer.
///
/// # Errors
/// When the runtime or the link cannot be set up.
pub async fn start(
    cluster: &ClusterOptions,
    options: &NodeOptions,
    identity: NodeIdentity,
    kernel: &Kernel,
    local_api: Option<SocketAddr>,
) -> anyhow::Result<Node> {
    let IpAddr::V4(address) = cluster.address()? else {
        bail!("nodes need an IPv4 address: pass --advertise-address");
    };
    let paths = NodePaths::new(&cluster.data_dir, options);
    let runtime =
        Runtime::new(paths.runtime()?).await.context("cannot open the container runtime")?;
    crate::control::serve(&paths.run, &runtime).context("cannot make the control socket")?;
    let (members, seen) = watch::channel(identity.members.clone());
    let tls = Arc::new(pki::client_config(&identity.ca_pem, Some(&identity.client))?);
    let (balancer, api_address) = match local_api {
        Some(address) => (None, address),
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
    let client = link::api_client(&link::ApiClientConfig {
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

fn load(dir: &Path, name: &str) -> anyhow::Result<Option<NodeIdentity>> {
    let path = dir.join("node.json");
    let Some(text) = read_file(&path)? else { return Ok(None) };
    let state: NodeState = serde_json::from_str(&text).with_context(|| {
        format!("{} is damaged: remove the node directory and join anew", path.display())
    })?;
    if state.version != STATE_VERSION {
        bail!("{} is of a newer version: use a newer kabuki", path.display());
    }
    if state.name != name {
        bail!(
            "{} belongs to node {:?}, not {name:?}: pass --name {} or another --data-dir",
            dir.display(),
            state.name,
            state.name
        );
    }
    let need = |file: &str| -> anyhow::Result<String> {
        read_file(&dir.join(file))?
            .with_context(|| format!("{} is missing: join anew", dir.join(file).display()))
    };
    Ok(Some(NodeIdentity {
        name: state.name,
        ca_pem: need("ca.crt")?,
        client: Issued { cert_pem: need("client.crt")?, key_pem: need("client.key")? },
        members: need(MEMBERS_FILE)?.lines().map(String::from).collect(),
    }))
}

// `node.json` goes last: its presence says that the others are complete.
fn save(dir: &Path, identity: &NodeIdentity) -> anyhow::Result<()> {
    write_public(&dir.join("ca.crt"), &identity.ca_pem)?;
    write_private(&dir.join("client.key"), &identity.client.key_pem)?;
    write_public(&dir.join("client.crt"), &identity.client.cert_pem)?;
    write_public(&dir.join(MEMBERS_FILE), &identity.members.join("\n"))?;
    let state = NodeState { version: STATE_VERSION, name: identity.name.clone() };
    write_private(&dir.join("node.json"), &serde_json::to_string_pretty(&state)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> NodeIdentity {
        NodeIdentity {
            name: name.into(),
            ca_pem: "ca".into(),
            client: Issued { cert_pem: "cert".into(), key_pem: "key".into() },
            members: vec!["10.0.0.1:6443".into()],
        }
    }

    #[test]
    fn a_damaged_pod_cidr_is_forgotten() {
        assert_eq!(parse_cidr("10.244.3.0/24\n"), Cidr::new([10, 244, 3, 0].into(), 24).ok());
        for bad in ["", "10.244.3.0", "x/24", "10.244.3.0/99"] {
            assert!(parse_cidr(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_node_remembers_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), "a").unwrap().is_none());
        save(dir.path(), &identity("a")).unwrap();
        assert_eq!(load(dir.path(), "a").unwrap().unwrap().members, ["10.0.0.1:6443"]);
        assert!(load(dir.path(), "b").err().unwrap().to_string().contains("--name a"));
        std::fs::remove_file(dir.path().join("client.key")).unwrap();
        assert!(load(dir.path(), "a").err().unwrap().to_string().contains("client.key"));
    }
}
