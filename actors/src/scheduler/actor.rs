//! The scheduler actor: follows pods and nodes, decides, binds.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, Handler, Message};
use kabuki_api::{
    kind::{NODE, POD},
    status::Status,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    cluster::Cluster,
    decide::{Misfit, decide},
    hands::{Hands, NAME},
    pod_info::PodInfo,
    queue::{Pending, PendingPods},
};
use crate::{
    controllers::{
        framework::{Change, Feed, Note, ObjectRef, follow},
        model::{Node, Pod},
    },
    kernel::{Ctx, Performer, TimerHandle},
    recreate_on_restart,
};

/// Decisions made in one go before others on the thread get their turn.
const MAX_DECISIONS: usize = 64;
/// Binds under way at once.
const MAX_BINDS: usize = 512;

/// Something is due.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Wake;

/// Finds nodes for pods.
pub(super) struct Scheduler {
    hands: Arc<dyn Hands>,
    cluster: Cluster,
    queue: PendingPods,
    awaited: HashSet<&'static str>,
    /// Where the next decision begins to look.
    start: usize,
    binding: usize,
    alarm: Option<(Instant, TimerHandle)>,
    bound: u64,
    refused: u64,
    misfits: u64,
}

impl Actor for Scheduler {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let Some(registry) = self.hands.source().cloned() else { return };
        for kind in [NODE, POD] {
            self.awaited.insert(kind.topic());
            let me = ctx.me();
            ctx.background(follow(registry.clone(), kind, me));
        }
    }
}

recreate_on_restart!(Scheduler);

impl Performer for Scheduler {
    type Args = Arc<dyn Hands>;

    fn create(hands: &Arc<dyn Hands>) -> Self {
        Self {
            hands: Arc::clone(hands),
            cluster: Cluster::default(),
            queue: PendingPods::default(),
            awaited: HashSet::new(),
            start: 0,
            binding: 0,
            alarm: None,
            bound: 0,
            refused: 0,
            misfits: 0,
        }
    }

    fn inspect(&self) -> Value {
        json!({"nodes": self.cluster.known().count(), "queue": self.queue.inspect(),
            "binding": self.binding, "bound": self.bound, "refusedBinds": self.refused,
            "misfits": self.misfits, "awaited": self.awaited})
    }
}

impl Handler<Feed> for Scheduler {
    type Result = ();

    fn handle(&mut self, feed: Feed, ctx: &mut Ctx<Self>) {
        let now = ctx.now();
        if feed.begins && feed.kind == NODE {
            self.cluster.clear_nodes();
        } else if feed.begins {
            self.cluster.clear_pods();
            self.queue = PendingPods::default();
        }
        for change in &feed.changes {
            if feed.kind == NODE {
                self.node_changed(change, now);
            } else {
                self.pod_changed(change, now);
            }
        }
        if feed.ends {
            self.awaited.remove(feed.kind.topic());
        }
        self.work(ctx);
    }
}

impl Handler<Wake> for Scheduler {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Ctx<Self>) {
        if self.alarm.as_ref().is_some_and(|(at, _)| *at <= ctx.now()) {
            self.alarm = None;
        }
        self.work(ctx);
    }
}

impl Scheduler {
    fn node_changed(&mut self, change: &Change, now: Instant) {
        if change.gone {
            self.cluster.remove_node(change.object.name());
        } else {
            match change.object.typed::<Node>() {
                Ok(node) => {
                    if self.cluster.set_node(node) {
                        self.queue.wake(now, |_| true);
                    }
                }
                Err(error) => tracing::error!(%error, "a node cannot be read and gets no pods"),
            }
        }
    }

    fn pod_changed(&mut self, change: &Change, now: Instant) {
        let pod = match change.object.typed::<Pod>() {
            Ok(pod) => pod,
            Err(error) => {
                return tracing::error!(%error, "a pod cannot be read and gets no node");
            }
        };
        let uid = pod.metadata.uid.as_str();
        if change.gone || pod.is_terminal() {
            self.queue.remove(uid);
            if self.cluster.remove_pod(uid) {
                self.queue.wake(now, |_| true);
            }
        } else if pod.spec.node_name.is_empty() {
            self.unbound(pod, change);
        } else {
            self.queue.remove(uid);
            self.placed(pod, now);
        }
    }

    fn unbound(&mut self, pod: Arc<Pod>, change: &Change) {
        let spec = &pod.spec;
        let mine = spec.scheduler_name.is_empty() || spec.scheduler_name == NAME;
        if !mine || !spec.scheduling_gates.is_empty() || pod.metadata.is_deleting() {
            self.queue.remove(&pod.metadata.uid);
            return;
        }
        self.queue.put(Arc::new(PodInfo::new(pod)), Arc::clone(&change.object));
    }

    fn placed(&mut self, pod: Arc<Pod>, now: Instant) {
        let meta = &pod.metadata;
        let known = self.cluster.pod(&pod.spec.node_name, &meta.uid).is_some_and(|old| {
            old.pod.metadata.labels == meta.labels
                && old.pod.metadata.is_deleting() == meta.is_deleting()
        });
        // Most changes of a running pod are of its status and move nothing.
        if known {
            return;
        }
        let node = pod.spec.node_name.clone();
        self.cluster.place(&node, Arc::new(PodInfo::new(pod)));
        self.queue.wake(now, PodInfo::looks_at_pods);
    }

    fn work(&mut self, ctx: &mut Ctx<Self>) {
        if !self.awaited.is_empty() {
            return;
        }
        let next = self.queue.promote(ctx.now());
        for _ in 0..MAX_DECISIONS {
            if self.binding >= MAX_BINDS {
                break;
            }
            let Some(pending) = self.queue.take() else { break };
            self.decide(pending, ctx);
        }
        if self.queue.has_active() && self.binding < MAX_BINDS {
            // Our own mailbox being full means that we will be woken anyway.
            drop(ctx.me().tell(Wake));
        }
        self.set_alarm(next, ctx);
    }

    fn decide(&mut self, pending: Pending, ctx: &mut Ctx<Self>) {
        let hands = Arc::clone(&self.hands);
        let decision = catch_unwind(AssertUnwindSafe(|| {
            let labels = |name: &str| hands.namespace_labels(name);
            decide(&self.cluster, &pending.info, &labels, &mut self.start)
        }));
        match decision {
            Ok(Ok(node)) => self.bind(pending, node, ctx),
            Ok(Err(misfit)) => self.give_up(&pending, &misfit, ctx),
            Err(_) => {
                let pod = pending.object.key();
                tracing::error!(pod, "deciding on a pod panicked; it will be tried again later");
                self.queue.park(pending.info.uid(), "panic".into(), ctx.now(), false);
            }
        }
    }

    /// Counts the pod on its node at once, so that the next decision sees it there.
    fn bind(&mut self, pending: Pending, node: String, ctx: &mut Ctx<Self>) {
        self.cluster.place(&node, Arc::clone(&pending.info));
        self.binding += 1;
        let hands = Arc::clone(&self.hands);
        let meta = &pending.info.pod.metadata;
        let (ns, name, uid) = (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        let target = node.clone();
        let work = async move { hands.bind(&ns, &name, &uid, &target).await };
        ctx.offload(work, move |me, result, ctx| {
            me.binding = me.binding.saturating_sub(1);
            me.bind_ended(&pending, &node, result, ctx);
            me.work(ctx);
        });
    }

    fn bind_ended(
        &mut self,
        pending: &Pending,
        node: &str,
        result: Result<(), Status>,
        ctx: &mut Ctx<Self>,
    ) {
        let meta = &pending.info.pod.metadata;
        match result {
            Ok(()) => {
                self.bound += 1;
                let message =
                    format!("Successfully assigned {}/{} to {node}", meta.namespace, meta.name);
                self.hands.record(Note::normal(
                    ObjectRef::to(&pending.object),
                    "Scheduled",
                    message,
                ));
            }
            Err(status) => {
                self.refused += 1;
                // Not in the queue: it turned out to be bound, or is gone.
                if self.queue.park(&meta.uid, status.to_string(), ctx.now(), true)
                    || self.queue.is_parked(&meta.uid)
                {
                    self.cluster.remove_pod(&meta.uid);
                }
            }
        }
    }

    fn give_up(&mut self, pending: &Pending, misfit: &Misfit, ctx: &mut Ctx<Self>) {
        self.misfits += 1;
        let message = misfit.to_string();
        let on = ObjectRef::to(&pending.object);
        self.hands.record(Note::warning(on, "FailedScheduling", message.clone()));
        let uid = pending.info.uid().to_owned();
        if !self.queue.park(&uid, message.clone(), ctx.now(), false) {
            return;
        }
        let hands = Arc::clone(&self.hands);
        let object = Arc::clone(&pending.object);
        let write = async move {
            hands.unschedulable(object.namespace(), object.name(), &uid, &message).await;
        };
        ctx.offload(write, |_, (), _| {});
    }

    fn set_alarm(&mut self, next: Option<Instant>, ctx: &mut Ctx<Self>) {
        let Some(due) = next else { return };
        match &self.alarm {
            Some((at, _)) if *at <= due => return,
            Some((_, timer)) => timer.cancel(),
            None => {}
        }
        let timer = ctx.after(due.saturating_duration_since(ctx.now()), Wake);
        self.alarm = Some((due, timer));
    }
}
