//! Follows the Services of the cluster, for the environment of containers.

use std::{collections::BTreeMap, sync::Arc};

use actix::{Actor, Handler, Message};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::sync::watch;

use super::{backoff::WatchBackoff, env::ServiceEntry};
use crate::{
    kernel::{Ctx, Performer},
    recreate_on_restart,
};

/// Services, once they have been listed.
pub(super) type ServiceList = Option<Arc<Vec<ServiceEntry>>>;

#[derive(Message)]
#[rtype(result = "()")]
enum ServiceNews {
    Listing,
    Listed(Service),
    ListEnd,
    Changed(Service),
    Gone(Service),
}

/// What the actor is made from.
#[derive(Clone)]
pub(super) struct ServicesArgs {
    pub client: Client,
    pub list: Arc<watch::Sender<ServiceList>>,
}

/// Keeps the list of services current.
pub(super) struct Services {
    args: ServicesArgs,
    known: BTreeMap<(String, String), ServiceEntry>,
    fresh: Option<BTreeMap<(String, String), ServiceEntry>>,
}

impl Performer for Services {
    type Args = ServicesArgs;

    fn create(args: &ServicesArgs) -> Self {
        Self { args: args.clone(), known: BTreeMap::new(), fresh: None }
    }

    fn inspect(&self) -> serde_json::Value {
        json!({"services": self.known.len()})
    }
}

recreate_on_restart!(Services);

impl Actor for Services {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let api: Api<Service> = Api::all(self.args.client.clone());
        let events = watcher(api, watcher::Config::default())
            .backoff(WatchBackoff::default())
            .filter_map(|event| async move {
                Some(match event.ok()? {
                    watcher::Event::Init => ServiceNews::Listing,
                    watcher::Event::InitApply(service) => ServiceNews::Listed(service),
                    watcher::Event::InitDone => ServiceNews::ListEnd,
                    watcher::Event::Apply(service) => ServiceNews::Changed(service),
                    watcher::Event::Delete(service) => ServiceNews::Gone(service),
                })
            });
        ctx.pump(events);
    }
}

impl Handler<ServiceNews> for Services {
    type Result = ();

    fn handle(&mut self, news: ServiceNews, _: &mut Ctx<Self>) {
        match news {
            ServiceNews::Listing => {
                self.fresh = Some(BTreeMap::new());
                return;
            }
            ServiceNews::Listed(service) => {
                let (key, entry) = entry(&service);
                self.fresh.get_or_insert_default().insert(key, entry);
                return;
            }
            ServiceNews::ListEnd => self.known = self.fresh.take().unwrap_or_default(),
            ServiceNews::Changed(service) => {
                let (key, entry) = entry(&service);
                self.known.insert(key, entry);
            }
            ServiceNews::Gone(service) => {
                self.known.remove(&entry(&service).0);
            }
        }
        let list = self.known.values().cloned().collect();
        self.args.list.send_replace(Some(Arc::new(list)));
    }
}

fn entry(service: &Service) -> ((String, String), ServiceEntry) {
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let name = service.metadata.name.clone().unwrap_or_default();
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.into_iter().flatten().map(|p| {
        let protocol = p.protocol.unwrap_or_else(|| "TCP".to_owned());
        (p.name.unwrap_or_default(), protocol, p.port)
    });
    let entry = ServiceEntry {
        namespace: namespace.clone(),
        name: name.clone(),
        cluster_ip: spec.cluster_ip.filter(|ip| ip != "None").unwrap_or_default(),
        ports: ports.collect(),
    };
    ((namespace, name), entry)
}
