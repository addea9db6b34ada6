//! Follows Nodes: sets the pod network up once this node has its prefix, and keeps the tunnels to
//! the other nodes current.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, Handler, Message};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use kabuki_runtime::net::{Cidr, NetworkConfig, NodeNetwork, Peer};
use kube::{Api, Client};
use tokio::sync::watch;

use super::{
    extract,
    follow::{News, follow},
    start::NetworkSettings,
};
use crate::{
    kernel::{Ctx, Performer},
    kubelet::{NetworkState, PodNetworking},
    recreate_on_restart,
};

/// Changes of nodes that come within this time are applied together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// After the kernel refused something.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
struct Sync;

/// What the actor is made from.
#[derive(Clone)]
pub(super) struct NetworkArgs {
    pub client: Client,
    pub settings: NetworkSettings,
    pub network: Arc<watch::Sender<Option<NodeNetwork>>>,
    pub state: Arc<watch::Sender<NetworkState>>,
}

/// The actor behind a node's pod network.
pub(super) struct ClusterNetwork {
    args: NetworkArgs,
    peers: BTreeMap<String, Peer>,
    fresh: Option<BTreeMap<String, Peer>>,
    /// This node's prefix, as its Node object says.
    pod_cidr: Option<Cidr>,
    listed: bool,
    scheduled: bool,
    working: bool,
    dirty: bool,
    problem: Option<String>,
}

impl Performer for ClusterNetwork {
    type Args = NetworkArgs;
    const MAILBOX: usize = 4096;

    fn create(args: &NetworkArgs) -> Self {
        Self {
            args: args.clone(),
            peers: BTreeMap::new(),
            fresh: None,
            pod_cidr: None,
            listed: false,
            scheduled: false,
            working: false,
            dirty: false,
            problem: None,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        serde_json::json!({
            "podCidr": self.pod_cidr.map(|c| c.to_string()),
            "peers": self.peers.len(),
            "up": self.args.network.borrow().is_some(),
            "problem": self.problem,
        })
    }
}
recreate_on_restart!(ClusterNetwork);

impl ClusterNetwork {
    fn changed(&mut self, ctx: &mut Ctx<Self>, after: Duration) {
        self.dirty = true;
        if !self.scheduled && !self.working {
            self.scheduled = true;
            ctx.after(after, Sync);
        }
    }

    fn note(&mut self, node: &Node) -> bool {
        let name = node.metadata.name.clone().unwrap_or_default();
        let mut changed = false;
        if name == self.args.settings.node_name
            && let Some(cidr) = extract::pod_cidr(node)
        {
            changed = self.pod_cidr.replace(cidr) != Some(cidr);
        }
        let target = self.fresh.as_mut().unwrap_or(&mut self.peers);
        match extract::peer(node) {
            Some(peer) => changed | (target.insert(name, peer.clone()) != Some(peer)),
            None => changed | target.remove(&name).is_some(),
        }
    }

    fn config(&self, pod_cidr: Cidr) -> NetworkConfig {
        let s = &self.args.settings;
        NetworkConfig {
            pod_cidr,
            cluster_cidr: s.cluster_cidr,
            service_cidr: s.service_cidr,
            node_ip: s.node_ip,
            dns_ip: s.dns_ip,
            mtu: s.mtu,
        }
    }

    fn work(&mut self, ctx: &mut Ctx<Self>, pod_cidr: Cidr) {
        self.dirty = false;
        self.working = true;
        let up = self.args.network.borrow().clone();
        let up = up.filter(|n| n.config().pod_cidr == pod_cidr);
        let config = self.config(pod_cidr);
        // A list that is not complete must not cut tunnels.
        let peers = self.listed.then(|| self.peers.values().cloned().collect::<Vec<_>>());
        let work = async move {
            let network = match up {
                Some(network) => network,
                None => NodeNetwork::setup(config).await.map_err(|e| e.to_string())?,
            };
            if let Some(peers) = peers {
                network.set_peers(&peers).await.map_err(|e| e.to_string())?;
            }
            Ok::<_, String>(network)
        };
        ctx.offload(work, |this, result, ctx| {
            this.working = false;
            match result {
                Ok(network) => this.up(network),
                Err(error) => {
                    tracing::warn!(error, "pod network is not complete; trying again");
                    if this.args.network.borrow().is_none() {
                        this.args.state.send_replace(NetworkState::Waiting(error.clone()));
                    }
                    this.problem = Some(error);
                    this.changed(ctx, RETRY);
                }
            }
            if this.dirty {
                this.changed(ctx, DEBOUNCE);
            }
        });
    }

    fn up(&mut self, network: NodeNetwork) {
        self.problem = None;
        let cidr = network.config().pod_cidr;
        let have = self.args.network.borrow().as_ref().map(|n| n.config().pod_cidr);
        if have != Some(cidr) {
            tracing::info!(%cidr, mtu = network.mtu(), "pod network is up");
            self.args.network.send_replace(Some(network));
            self.args.state.send_replace(NetworkState::Ready);
        }
    }
}

impl Actor for ClusterNetwork {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        if let Some(cidr) = self.args.settings.pod_cidr {
            self.pod_cidr = Some(cidr);
            self.changed(ctx, Duration::ZERO);
        }
        ctx.pump(follow::<Node>(Api::all(self.args.client.clone())));
    }
}

impl Handler<Sync> for ClusterNetwork {
    type Result = ();

    fn handle(&mut self, _: Sync, ctx: &mut Ctx<Self>) {
        self.scheduled = false;
        if self.working || !self.dirty {
            return;
        }
        match self.pod_cidr {
            Some(cidr) => self.work(ctx, cidr),
            None => {
                let why = "this node has no podCIDR yet".to_owned();
                self.args.state.send_replace(NetworkState::Waiting(why));
            }
        }
    }
}

impl Handler<News<Node>> for ClusterNetwork {
    type Result = ();

    fn handle(&mut self, news: News<Node>, ctx: &mut Ctx<Self>) {
        let changed = match news {
            News::Listing => {
                self.fresh = Some(BTreeMap::new());
                false
            }
            News::Listed(node) => {
                self.note(&node);
                false
            }
            News::ListEnd => {
                self.peers = self.fresh.take().unwrap_or_default();
                self.listed = true;
                true
            }
            News::Changed(node) => self.note(&node),
            News::Gone(node) => {
                let name = node.metadata.name.unwrap_or_default();
                self.peers.remove(&name).is_some()
            }
        };
        if changed {
            self.changed(ctx, DEBOUNCE);
        }
    }
}

/// The kubelet's view of the pod network.
pub(super) struct Attacher {
    pub network: watch::Receiver<Option<NodeNetwork>>,
    pub state: watch::Receiver<NetworkState>,
}

impl Attacher {
    fn up(&self) -> Result<NodeNetwork, String> {
        self.network.borrow().clone().ok_or_else(|| "the pod network is not up yet".to_owned())
    }
}

#[async_trait]
impl PodNetworking for Attacher {
    fn state(&self) -> watch::Receiver<NetworkState> {
        self.state.clone()
    }

    async fn attach(
        &self,
        netns: &Path,
        uid: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Vec<IpAddr>, String> {
        let pod = self.up()?.attach(netns, uid, wanted).await.map_err(|e| e.to_string())?;
        Ok(vec![pod.ip.into()])
    }

    async fn detach(&self, uid: &str) -> Result<(), String> {
        self.up()?.detach(uid).await.map_err(|e| e.to_string())
    }

    async fn attached(&self) -> Vec<String> {
        let Ok(network) = self.up() else { return Vec::new() };
        network.attached().await.into_iter().map(|a| a.pod_uid).collect()
    }
}
