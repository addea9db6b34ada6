//! The actor that follows the cluster's nodes: sets the pod network up when this node has its pod
//! CIDR, and tells it which other nodes there are.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use actix::{Actor, Handler, Message};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kabuki_runtime::net::{Cidr, NetworkConfig, NodeNetwork, Peer};
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

use super::SharedNetwork;
use crate::{
    kernel::{Ctx, Performer},
    recreate_on_restart,
};

/// Wait before setting up, or telling the peers, is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Nodes whose coming and going is heard together.
const GATHER: Duration = Duration::from_millis(20);

/// What the manager is made from.
#[derive(Clone)]
pub struct NetworkManagerArgs {
    /// The API.
    pub client: kube::Client,
    /// Name of this node.
    pub node: String,
    /// Its address in the machines' network.
    pub node_ip: Ipv4Addr,
    /// Prefix of all pods.
    pub cluster_cidr: Cidr,
    /// Prefix of service addresses.
    pub service_cidr: Cidr,
    /// The cluster DNS address.
    pub dns_ip: Ipv4Addr,
    /// Keeps the pod CIDR, so that a node that starts while the API is away has its network.
    pub memory: PathBuf,
    /// Filled when the network is there.
    pub shared: SharedNetwork,
}

/// A node appeared, changed or went.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct NodeSeen {
    name: String,
    peer: Option<Peer>,
}

/// A complete list of the nodes begins; what it does not name is gone.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ListBegins;

/// The complete list has ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct ListEnds;

/// Do what is due.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Work;

/// Follows the nodes of the cluster.
pub struct NetworkManager {
    args: NetworkManagerArgs,
    nodes: BTreeMap<String, Peer>,
    /// The list under way, if one is.
    listing: Option<BTreeMap<String, Peer>>,
    busy: bool,
    /// Something changed since the peers were told last.
    stale: bool,
    waiting: bool,
    problem: Option<String>,
}

/// The address and pod CIDR of a node, when it has both.
fn peer_of(node: &Node) -> Option<Peer> {
    let cidr = parse_cidr(node.spec.as_ref()?.pod_cidr.as_deref()?)?;
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let node_ip = addresses.iter().find(|a| a.type_ == "InternalIP")?.address.parse().ok()?;
    Some(Peer { node_ip, pod_cidr: cidr })
}

fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, len) = text.split_once('/')?;
    Cidr::new(address.parse().ok()?, len.parse().ok()?).ok()
}

fn remembered(path: &Path) -> Option<Cidr> {
    parse_cidr(std::fs::read_to_string(path).ok()?.trim())
}

impl NetworkManager {
    fn config(&self, pod_cidr: Cidr) -> NetworkConfig {
        NetworkConfig {
            pod_cidr,
            cluster_cidr: self.args.cluster_cidr,
            service_cidr: self.args.service_cidr,
            node_ip: self.args.node_ip,
            dns_ip: self.args.dns_ip,
            mtu: None,
        }
    }

    fn schedule(&mut self, delay: Duration, ctx: &mut Ctx<Self>) {
        self.stale = true;
        if !self.waiting {
            self.waiting = true;
            ctx.after(delay, Work);
        }
    }

    fn set_up(&mut self, pod_cidr: Cidr, ctx: &mut Ctx<Self>) {
        self.busy = true;
        let config = self.config(pod_cidr);
        let memory = self.args.memory.clone();
        let work = async move {
            let network = NodeNetwork::setup(config).await.map_err(|e| e.to_string())?;
            // Without the note the node only needs the API once more after a restart.
            if let Err(error) = tokio::fs::write(&memory, cidr_text(pod_cidr)).await {
                tracing::warn!(%error, path = %memory.display(), "cannot keep the pod CIDR");
            }
            Ok::<_, String>(network)
        };
        ctx.offload(work, |this, result, ctx| {
            this.busy = false;
            match result {
                Ok(network) => {
                    this.problem = None;
                    this.args.shared.set(network);
                    this.schedule(Duration::ZERO, ctx);
                }
                Err(why) => this.failed(format!("cannot set up the pod network: {why}"), ctx),
            }
        });
    }

    fn tell_peers(&mut self, network: NodeNetwork, ctx: &mut Ctx<Self>) {
        self.busy = true;
        self.stale = false;
        let peers: Vec<Peer> = self.nodes.values().cloned().collect();
        let work = async move { network.set_peers(&peers).await.map_err(|e| e.to_string()) };
        ctx.offload(work, |this, result, ctx| {
            this.busy = false;
            match result {
                Ok(_) if this.stale => this.schedule(GATHER, ctx),
                Ok(_) => this.problem = None,
                Err(why) => this.failed(format!("cannot reach other nodes' pods: {why}"), ctx),
            }
        });
    }

    fn failed(&mut self, why: String, ctx: &mut Ctx<Self>) {
        if self.problem.as_ref() != Some(&why) {
            tracing::warn!("{why}");
        }
        if self.args.shared.get().is_none() {
            self.args.shared.wait_for(why.clone());
        }
        self.problem = Some(why);
        self.schedule(RETRY, ctx);
    }
}

fn cidr_text(cidr: Cidr) -> String {
    format!("{}/{}\n", cidr.base(), cidr.len())
}

impl Performer for NetworkManager {
    type Args = NetworkManagerArgs;
    const MAILBOX: usize = 4096;

    fn create(args: &Self::Args) -> Self {
        Self {
            args: args.clone(),
            nodes: BTreeMap::new(),
            listing: None,
            busy: false,
            stale: false,
            waiting: false,
            problem: None,
        }
    }

    fn inspect(&self) -> Value {
        let nodes: BTreeMap<&str, String> = self
            .nodes
            .iter()
            .map(|(name, p)| {
                (name.as_str(), format!("{} {}", p.node_ip, cidr_text(p.pod_cidr).trim()))
            })
            .collect();
        json!({
            "nodes": nodes,
            "setUp": self.args.shared.get().is_some(),
            "problem": self.problem,
        })
    }
}
recreate_on_restart!(NetworkManager);

impl Actor for NetworkManager {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        if self.args.shared.get().is_none()
            && let Some(cidr) = remembered(&self.args.memory)
        {
            self.set_up(cidr, ctx);
        }
        let events =
            watcher(Api::<Node>::all(self.args.client.clone()), watcher::Config::default())
                .default_backoff();
        let me = ctx.me();
        ctx.background(async move {
            let mut events = events.boxed();
            while let Some(event) = events.next().await {
                let told = match event {
                    Ok(watcher::Event::Init) => me.tell_or_wait(ListBegins).await.is_ok(),
                    Ok(watcher::Event::InitDone) => me.tell_or_wait(ListEnds).await.is_ok(),
                    Ok(watcher::Event::InitApply(node) | watcher::Event::Apply(node)) => {
                        let name = node.metadata.name.clone().unwrap_or_default();
                        me.tell_or_wait(NodeSeen { name, peer: peer_of(&node) }).await.is_ok()
                    }
                    Ok(watcher::Event::Delete(node)) => {
                        let name = node.metadata.name.unwrap_or_default();
                        me.tell_or_wait(NodeSeen { name, peer: None }).await.is_ok()
                    }
                    // The watcher backs off and lists again by itself.
                    Err(error) => {
                        tracing::debug!(%error, "watch of nodes interrupted");
                        true
                    }
                };
                if !told {
                    return;
                }
            }
        });
    }
}

impl Handler<ListBegins> for NetworkManager {
    type Result = ();
    fn handle(&mut self, _: ListBegins, _: &mut Ctx<Self>) {
        self.listing = Some(BTreeMap::new());
    }
}

impl Handler<ListEnds> for NetworkManager {
    type Result = ();
    fn handle(&mut self, _: ListEnds, ctx: &mut Ctx<Self>) {
        if let Some(listed) = self.listing.take()
            && listed != self.nodes
        {
            self.nodes = listed;
            self.schedule(Duration::ZERO, ctx);
        }
    }
}

impl Handler<NodeSeen> for NetworkManager {
    type Result = ();
    fn handle(&mut self, NodeSeen { name, peer }: NodeSeen, ctx: &mut Ctx<Self>) {
        let nodes = self.listing.as_mut().unwrap_or(&mut self.nodes);
        let changed = match peer {
            Some(peer) => nodes.insert(name, peer.clone()) != Some(peer),
            None => nodes.remove(&name).is_some(),
        };
        if changed && self.listing.is_none() {
            self.schedule(GATHER, ctx);
        }
    }
}

impl Handler<Work> for NetworkManager {
    type Result = ();
    fn handle(&mut self, _: Work, ctx: &mut Ctx<Self>) {
        self.waiting = false;
        if self.busy {
            // Whoever is at work looks for more when done.
            return;
        }
        match self.args.shared.get() {
            Some(network) => self.tell_peers(network, ctx),
            None => {
                if let Some(own) = self.nodes.get(&self.args.node).map(|p| p.pod_cidr) {
                    self.set_up(own, ctx);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: Value, status: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec, "status": status}))
            .unwrap()
    }

    #[test]
    fn a_peer_needs_an_address_and_a_cidr() {
        let addresses = json!({"addresses": [
            {"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "10.0.0.1"}]});
        let whole = node(json!({"podCIDR": "10.244.3.0/24"}), addresses.clone());
        let peer = peer_of(&whole).unwrap();
        assert_eq!(peer.node_ip, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(cidr_text(peer.pod_cidr), "10.244.3.0/24\n");
        assert!(peer_of(&node(json!({}), addresses)).is_none());
        assert!(peer_of(&node(json!({"podCIDR": "10.244.3.0/24"}), json!({}))).is_none());
        assert!(peer_of(&node(json!({"podCIDR": "x/24"}), json!({}))).is_none());
    }

    #[test]
    fn the_pod_cidr_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cidr");
        assert!(remembered(&path).is_none());
        let cidr = parse_cidr("10.244.7.0/24").unwrap();
        std::fs::write(&path, cidr_text(cidr)).unwrap();
        assert_eq!(remembered(&path), Some(cidr));
        std::fs::write(&path, "garbage").unwrap();
        assert!(remembered(&path).is_none());
    }
}
