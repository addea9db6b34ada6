//! The DNS server of a node.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix::{Actor, Handler, Message};
use kabuki_runtime::net::{Cidr, NodeNetwork};
use tokio::sync::watch;

use super::{
    forward::Forwarder,
    listen::Sockets,
    respond::{Counts, Responder},
    zone::Zone,
};
use crate::{
    kernel::{Ctx, Performer},
    proxy::SharedCatalog,
    recreate_on_restart,
};

/// Pause before binding again.
const RETRY: Duration = Duration::from_millis(500);

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
struct Bind;

/// Where the server listens, once it does.
#[derive(Message, Debug)]
#[rtype(result = "Option<SocketAddr>")]
pub struct GetAddress;

/// What the server is made from.
#[derive(Debug, Clone)]
pub struct DnsArgs {
    /// The cluster DNS address and port 53.
    pub listen: SocketAddr,
    /// Domain of the cluster.
    pub domain: String,
    /// Pods' addresses.
    pub cluster_cidr: Cidr,
    /// Services' addresses.
    pub service_cidr: Cidr,
    /// Resolvers for other names.
    pub resolv_conf: PathBuf,
    /// Services and endpoints.
    pub catalog: SharedCatalog,
    /// The address exists once this is there; None: it exists already.
    pub network: Option<watch::Receiver<Option<NodeNetwork>>>,
}

/// Answers DNS on this node.
pub struct DnsServer {
    args: DnsArgs,
    responder: Arc<Responder>,
    address: Option<SocketAddr>,
    problem: Option<String>,
}

impl Performer for DnsServer {
    type Args = DnsArgs;
    const MAILBOX: usize = 64;

    fn create(args: &DnsArgs) -> Self {
        let own = args.listen.ip();
        let zone = Zone {
            domain: args.domain.trim_matches('.').to_ascii_lowercase(),
            cluster_cidr: args.cluster_cidr,
            service_cidr: args.service_cidr,
            dns_ip: match own {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            },
        };
        let responder = Responder {
            zone,
            catalog: args.catalog.clone(),
            forwarder: Forwarder::new(args.resolv_conf.clone(), own),
            counts: Counts::default(),
        };
        let args = args.clone();
        Self { args, responder: Arc::new(responder), address: None, problem: None }
    }

    fn inspect(&self) -> serde_json::Value {
        let c = &self.responder.counts;
        serde_json::json!({
            "address": self.address,
            "problem": self.problem,
            "cluster": c.cluster.load(Ordering::Relaxed),
            "forwarded": c.forwarded.load(Ordering::Relaxed),
            "failed": c.failed.load(Ordering::Relaxed),
            "malformed": c.malformed.load(Ordering::Relaxed),
            "roomToForward": self.responder.forwarder.room(),
        })
    }
}
recreate_on_restart!(DnsServer);

impl Actor for DnsServer {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let (network, me) = (self.args.network.clone(), ctx.me());
        ctx.background(async move {
            if let Some(mut network) = network
                && network.wait_for(Option::is_some).await.is_err()
            {
                return;
            }
            // Closed: the actor has ended.
            drop(me.tell_or_wait(Bind).await);
        });
    }
}

impl Handler<Bind> for DnsServer {
    type Result = ();

    fn handle(&mut self, _: Bind, ctx: &mut Ctx<Self>) {
        ctx.offload(Sockets::bind(self.args.listen), |this, bound, ctx| match bound {
            Ok(sockets) => {
                this.address = sockets.address().ok();
                this.problem = None;
                tracing::info!(address = ?this.address, "cluster DNS answers");
                ctx.background(sockets.serve(this.responder.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, at = %this.args.listen, "cannot listen for DNS");
                this.problem = Some(error.to_string());
                ctx.after(RETRY, Bind);
            }
        });
    }
}

impl Handler<GetAddress> for DnsServer {
    type Result = Option<SocketAddr>;

    fn handle(&mut self, _: GetAddress, _: &mut Ctx<Self>) -> Option<SocketAddr> {
        self.address
    }
}
