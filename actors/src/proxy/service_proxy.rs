//! Follows Services and EndpointSlices and keeps the node's service table equal to them.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use actix::{Actor, Handler, Message};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kabuki_runtime::net::{Applied, NodeNetwork, ServiceTable, Services};
use kube::{Api, Client};
use tokio::sync::{Mutex, watch};

use super::{
    catalog::{Key, SharedCatalog},
    desired::desired,
    extract,
    follow::{News, follow},
};
use crate::{
    kernel::{Ctx, Performer},
    recreate_on_restart,
};

/// Changes that come within this time are applied together.
const DEBOUNCE: Duration = Duration::from_millis(10);
/// After a refused transaction.
const RETRY: Duration = Duration::from_secs(1);
/// The table is compared with the kernel's this often, in case others have flushed it.
const RESYNC: Duration = Duration::from_secs(300);

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
struct Sync;

#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
struct Resync;

#[derive(Message)]
#[rtype(result = "()")]
struct NetworkUp(NodeNetwork);

/// What the actor is made from.
#[derive(Clone)]
pub(super) struct ProxyArgs {
    pub client: Client,
    pub node: String,
    pub dns_ip: Ipv4Addr,
    pub catalog: SharedCatalog,
    pub network: watch::Receiver<Option<NodeNetwork>>,
}

/// The service proxy of a node.
pub(super) struct ServiceProxy {
    args: ProxyArgs,
    network: Option<NodeNetwork>,
    /// None: the kernel's table has to be read first. One user at a time.
    table: Arc<Mutex<Option<ServiceTable>>>,
    /// Names seen in the list that is coming in.
    listed: (Option<BTreeSet<Key>>, Option<BTreeSet<Key>>),
    complete: (bool, bool),
    scheduled: bool,
    applying: bool,
    dirty: bool,
    last: Option<Result<Applied, String>>,
    applied: u64,
}

impl Performer for ServiceProxy {
    type Args = ProxyArgs;
    const MAILBOX: usize = 4096;

    fn create(args: &ProxyArgs) -> Self {
        Self {
            args: args.clone(),
            network: None,
            table: Arc::default(),
            listed: (None, None),
            complete: (false, false),
            scheduled: false,
            applying: false,
            dirty: false,
            last: None,
            applied: 0,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        let (services, slices) = self.args.catalog.read().sizes();
        serde_json::json!({
            "services": services,
            "slices": slices,
            "listed": [self.complete.0, self.complete.1],
            "network": self.network.is_some(),
            "transactions": self.applied,
            "last": match &self.last {
                Some(Ok(a)) => serde_json::json!({
                    "changed": a.changed, "tookMs": a.took.as_millis() as u64 }),
                Some(Err(e)) => serde_json::json!({ "error": e }),
                None => serde_json::Value::Null,
            },
        })
    }
}
recreate_on_restart!(ServiceProxy);

impl ServiceProxy {
    fn schedule(&mut self, ctx: &mut Ctx<Self>, after: Duration) {
        if !self.scheduled {
            self.scheduled = true;
            ctx.after(after, Sync);
        }
    }

    fn changed(&mut self, ctx: &mut Ctx<Self>) {
        self.dirty = true;
        // Until both lists are there the table stays as the last daemon left it.
        if self.complete == (true, true) {
            self.schedule(ctx, DEBOUNCE);
        }
    }

    fn list_ended(&mut self, ctx: &mut Ctx<Self>) {
        if self.complete == (true, true) {
            self.args.catalog.write().synced = true;
        }
        self.changed(ctx);
    }

    fn apply(&mut self, ctx: &mut Ctx<Self>, network: NodeNetwork) {
        self.dirty = false;
        self.applying = true;
        let (catalog, node, dns_ip) =
            (self.args.catalog.clone(), self.args.node.clone(), self.args.dns_ip);
        let table = self.table.clone();
        let work = async move {
            let wanted = desired(&catalog.read(), &node, dns_ip);
            apply(&mut *table.lock().await, &network, &wanted).await
        };
        ctx.offload(work, |this, result, ctx| {
            this.applying = false;
            let failed = result.is_err();
            match &result {
                Ok(a) => {
                    this.applied += u64::from(a.changed > 0);
                    let took_ms = a.took.as_millis();
                    tracing::debug!(changed = a.changed, took_ms, "services applied");
                }
                Err(error) => tracing::warn!(error, "cannot apply services; trying again"),
            }
            this.last = Some(result);
            if failed {
                this.dirty = true;
                this.schedule(ctx, RETRY);
            } else if this.dirty {
                this.schedule(ctx, DEBOUNCE);
            }
        });
    }
}

async fn apply(
    slot: &mut Option<ServiceTable>,
    network: &NodeNetwork,
    wanted: &Services,
) -> Result<Applied, String> {
    let mut table = match slot.take() {
        Some(table) => table,
        None => ServiceTable::open(network.config()).await.map_err(|e| e.to_string())?,
    };
    let applied = table.apply(wanted).await.map_err(|e| e.to_string())?;
    // Only a table that went well is kept: after an error the next attempt reads the kernel's.
    *slot = Some(table);
    Ok(applied)
}

impl Actor for ServiceProxy {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.pump(follow::<Service>(Api::all(self.args.client.clone())));
        ctx.pump(follow::<EndpointSlice>(Api::all(self.args.client.clone())));
        ctx.every(RESYNC, Resync);
        let (mut network, me) = (self.args.network.clone(), ctx.me());
        ctx.background(async move {
            loop {
                let now = network.borrow_and_update().clone();
                if let Some(now) = now
                    && me.tell_or_wait(NetworkUp(now)).await.is_err()
                {
                    return;
                }
                if network.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Handler<NetworkUp> for ServiceProxy {
    type Result = ();

    fn handle(&mut self, NetworkUp(network): NetworkUp, ctx: &mut Ctx<Self>) {
        self.network = Some(network);
        self.table = Arc::default();
        self.changed(ctx);
    }
}

impl Handler<Sync> for ServiceProxy {
    type Result = ();

    fn handle(&mut self, _: Sync, ctx: &mut Ctx<Self>) {
        self.scheduled = false;
        // A transaction that is under way schedules the next one when it ends.
        if self.dirty
            && !self.applying
            && let Some(network) = self.network.clone()
        {
            self.apply(ctx, network);
        }
    }
}

impl Handler<Resync> for ServiceProxy {
    type Result = ();

    fn handle(&mut self, _: Resync, ctx: &mut Ctx<Self>) {
        self.table = Arc::default();
        self.changed(ctx);
    }
}

impl Handler<News<Service>> for ServiceProxy {
    type Result = ();

    fn handle(&mut self, news: News<Service>, ctx: &mut Ctx<Self>) {
        let catalog = self.args.catalog.clone();
        match news {
            News::Listing => self.listed.0 = Some(BTreeSet::new()),
            News::ListEnd => {
                catalog.write().keep_services(&self.listed.0.take().unwrap_or_default());
                self.complete.0 = true;
                self.list_ended(ctx);
            }
            News::Listed(s) | News::Changed(s) => {
                let key = extract::key(&s.metadata);
                if let Some(listed) = &mut self.listed.0 {
                    listed.insert(key.clone());
                }
                if catalog.write().set_service(key, extract::service(&s)) {
                    self.changed(ctx);
                }
            }
            News::Gone(s) => {
                if catalog.write().remove_service(&extract::key(&s.metadata)) {
                    self.changed(ctx);
                }
            }
        }
    }
}

impl Handler<News<EndpointSlice>> for ServiceProxy {
    type Result = ();

    fn handle(&mut self, news: News<EndpointSlice>, ctx: &mut Ctx<Self>) {
        let catalog = self.args.catalog.clone();
        match news {
            News::Listing => self.listed.1 = Some(BTreeSet::new()),
            News::ListEnd => {
                catalog.write().keep_slices(&self.listed.1.take().unwrap_or_default());
                self.complete.1 = true;
                self.list_ended(ctx);
            }
            News::Listed(s) | News::Changed(s) => {
                let key = extract::key(&s.metadata);
                if let Some(listed) = &mut self.listed.1 {
                    listed.insert(key.clone());
                }
                let changed = match extract::slice(&s) {
                    Some(slice) => catalog.write().set_slice(key, slice),
                    None => catalog.write().remove_slice(&key),
                };
                if changed {
                    self.changed(ctx);
                }
            }
            News::Gone(s) => {
                if catalog.write().remove_slice(&extract::key(&s.metadata)) {
                    self.changed(ctx);
                }
            }
        }
    }
}
