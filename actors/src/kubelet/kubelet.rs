//! The pods of one node: follows the API, keeps one [`PodWorker`] per pod, removes orphans.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use actix::{Actor, Handler, Message};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

use super::{
    admission, adoption,
    backoff::WatchBackoff,
    context::NodeContext,
    pod_view::PodView,
    worker::{ForgetPod, PodWorker, UpdatePod, WorkerArgs},
};
use crate::{
    kernel::{ActorRef, ChildSpec, Ctx, Performer},
    recreate_on_restart,
};

/// How long the first list may take before the node goes on with what it remembers.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// Pause before the removal of orphans is tried again.
const ORPHANS_AGAIN: Duration = Duration::from_secs(30);

/// What the API says about the pods of this node.
#[derive(Message)]
#[rtype(result = "()")]
enum PodNews {
    /// A complete list begins.
    Listing,
    /// Part of the list.
    Listed(Arc<Pod>),
    /// The list is complete.
    ListEnd,
    /// A pod is new or changed.
    Changed(Arc<Pod>),
    /// A pod is gone.
    Gone(Arc<Pod>),
}

/// A worker has nothing left to do for the pod of this uid.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PodGone {
    /// The pod's uid.
    pub uid: String,
    /// Which of its workers.
    pub serial: u64,
}

/// The API has not been reached in time.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct GoOnAlone;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct RemoveOrphans;

/// Keeps the pods of one node.
pub struct Kubelet {
    node: Arc<NodeContext>,
    workers: HashMap<String, (u64, ActorRef<PodWorker>)>,
    serial: u64,
    listing: Option<HashSet<String>>,
    listed: bool,
    orphans_removed: bool,
}

impl Performer for Kubelet {
    type Args = Arc<NodeContext>;

    fn create(node: &Arc<NodeContext>) -> Self {
        Self {
            node: node.clone(),
            workers: HashMap::new(),
            serial: 0,
            listing: None,
            listed: false,
            orphans_removed: false,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        json!({
            "node": self.node.config.name,
            "pods": self.workers.len(),
            "listed": self.listed,
            "orphansRemoved": self.orphans_removed,
        })
    }
}

recreate_on_restart!(Kubelet);

impl Actor for Kubelet {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let node = self.node.clone();
        // Before any pod is started: what runs already must be found, not made twice.
        ctx.offload(adoption::adopt_once(node), |this, (), ctx| {
            let api: Api<Pod> = Api::all(this.node.config.client.clone());
            let fields = format!("spec.nodeName={}", this.node.config.name);
            let events = watcher(api, watcher::Config::default().fields(&fields))
                .backoff(WatchBackoff::default())
                .filter_map(|event| async move { news(event) });
            ctx.pump(events);
            ctx.after(LIST_WITHIN, GoOnAlone);
        });
    }
}

fn news(event: Result<watcher::Event<Pod>, watcher::Error>) -> Option<PodNews> {
    let slim = |mut pod: Pod| {
        pod.metadata.managed_fields = None;
        Arc::new(pod)
    };
    match event {
        Ok(watcher::Event::Init) => Some(PodNews::Listing),
        Ok(watcher::Event::InitApply(pod)) => Some(PodNews::Listed(slim(pod))),
        Ok(watcher::Event::InitDone) => Some(PodNews::ListEnd),
        Ok(watcher::Event::Apply(pod)) => Some(PodNews::Changed(slim(pod))),
        Ok(watcher::Event::Delete(pod)) => Some(PodNews::Gone(slim(pod))),
        Err(error) => {
            tracing::debug!(%error, "watching pods is interrupted");
            None
        }
    }
}

impl Handler<PodNews> for Kubelet {
    type Result = ();

    fn handle(&mut self, news: PodNews, ctx: &mut Ctx<Self>) {
        match news {
            PodNews::Listing => self.listing = Some(HashSet::new()),
            PodNews::Listed(pod) => {
                if let Some(seen) = &mut self.listing {
                    seen.insert(pod.uid().to_owned());
                }
                self.route(pod, ctx);
            }
            PodNews::ListEnd => {
                let seen = self.listing.take().unwrap_or_default();
                self.listed = true;
                for (uid, (_, worker)) in &self.workers {
                    if !seen.contains(uid) {
                        post(worker, ForgetPod);
                    }
                }
                // Remembered from before a restart of this actor.
                for pod in self.node.pods() {
                    if !self.workers.contains_key(pod.uid()) {
                        self.node.forget_pod(pod.uid());
                    }
                }
                if !self.orphans_removed {
                    self.remove_orphans(ctx);
                }
            }
            PodNews::Changed(pod) => self.route(pod, ctx),
            PodNews::Gone(pod) => {
                if let Some((_, worker)) = self.workers.get(pod.uid()) {
                    post(worker, ForgetPod);
                }
            }
        }
    }
}

impl Handler<PodGone> for Kubelet {
    type Result = ();

    fn handle(&mut self, gone: PodGone, _: &mut Ctx<Self>) {
        if self.workers.get(&gone.uid).is_some_and(|(serial, _)| *serial == gone.serial) {
            self.workers.remove(&gone.uid);
        }
    }
}

impl Handler<GoOnAlone> for Kubelet {
    type Result = ();

    fn handle(&mut self, _: GoOnAlone, ctx: &mut Ctx<Self>) {
        if self.listed {
            return;
        }
        let node = self.node.clone();
        ctx.offload(async move { adoption::remembered(&node).await }, |this, pods, ctx| {
            if this.listed || pods.is_empty() {
                return;
            }
            tracing::info!(pods = pods.len(), "the API is out of reach; going on with known pods");
            for pod in pods {
                this.route(Arc::new(pod), ctx);
            }
        });
    }
}

impl Handler<RemoveOrphans> for Kubelet {
    type Result = ();

    fn handle(&mut self, _: RemoveOrphans, ctx: &mut Ctx<Self>) {
        self.remove_orphans(ctx);
    }
}

impl Kubelet {
    fn route(&mut self, pod: Arc<Pod>, ctx: &mut Ctx<Self>) {
        let uid = pod.uid().to_owned();
        if let Some((_, worker)) = self.workers.get(&uid).filter(|(_, w)| w.is_alive()) {
            self.node.set_pod(pod.clone());
            post(worker, UpdatePod(pod));
            return;
        }
        let id = format!("{}/{}", PodView::namespace(&*pod), PodView::name(&*pod));
        // Here, one after the other: two pods that fit only alone must not refuse each other.
        let others: Vec<_> = self.node.pods().into_iter().filter(|p| p.uid() != uid).collect();
        let known = pod.is_terminal() || self.node.sandbox(&uid).is_some();
        let refusal = admission::admit(&pod, &others, &self.node.facts).err();
        self.node.set_pod(pod);
        self.serial += 1;
        let args = WorkerArgs {
            node: self.node.clone(),
            kubelet: ctx.me(),
            uid: uid.clone(),
            serial: self.serial,
            refusal: refusal.filter(|_| !known),
        };
        let worker = ctx.children().start::<PodWorker>(&id, args, ChildSpec::transient());
        self.workers.insert(uid, (self.serial, worker));
    }

    fn remove_orphans(&mut self, ctx: &mut Ctx<Self>) {
        let node = self.node.clone();
        let work = async move { adoption::remove_orphans(&node).await };
        ctx.offload(work, |this, removed, ctx| match removed {
            Ok(()) => this.orphans_removed = true,
            Err(message) => {
                tracing::warn!(message, "cannot remove orphaned pods, will retry");
                ctx.after(ORPHANS_AGAIN, RemoveOrphans);
            }
        });
    }
}

/// Tells a worker; one that is busy hears it when it has room again.
fn post<M>(worker: &ActorRef<PodWorker>, message: M)
where
    PodWorker: Handler<M>,
    M: Message + Send + Clone + 'static,
    M::Result: Send,
{
    if worker.tell(message.clone()).is_err() && worker.is_alive() {
        let worker = worker.clone();
        tokio::spawn(async move { drop(worker.tell_or_wait(message).await) });
    }
}

/// Marks that adoption has been done; true for the caller that is to do it.
pub(super) fn first(flag: &std::sync::atomic::AtomicBool) -> bool {
    !flag.swap(true, Ordering::SeqCst)
}
