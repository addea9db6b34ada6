//! The scheduler actor: follows pods and nodes, decides, binds.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, Handler, Message};
use kabuki_api::kind::{NODE, POD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    assume::{Assumed, settled},
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
    pub hands: Arc<dyn Hands>,
    pub cluster: Cluster,
    pub queue: PendingPods,
    awaited: HashSet<&'static str>,
    /// By uid. What a bind without an answer may still take is not given to another pod.
    pub assumed: HashMap<String, Assumed>,
    /// Binds whose outcome is not known.
    pub doubtful: Vec<(Pending, String)>,
    pub settling: bool,
    /// Where the next decision begins to look.
    start: usize,
    pub binding: usize,
    alarm: Option<(Instant, TimerHandle)>,
    pub bound: u64,
    pub refused: u64,
    misfits: u64,
}

impl Actor for Scheduler {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let Some(registry) = self.hands.source().cloned() else { return };
        self.awaited.extend([NODE.topic(), POD.topic()]);
        // The state is read once it shows what became of the binds of the life before.
        ctx.offload(settled(Arc::clone(&self.hands)), move |_, (), ctx| {
            for kind in [NODE, POD] {
                ctx.background(follow(registry.clone(), kind, ctx.me()));
            }
        });
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
            assumed: HashMap::new(),
            doubtful: Vec::new(),
            settling: false,
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
            "misfits": self.misfits, "awaited": self.awaited, "assumed": self.assumed.len(),
            "doubtful": self.doubtful.len(), "settling": self.settling})
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
            for Assumed { node, info, .. } in self.assumed.values() {
                self.cluster.place(node, Arc::clone(info));
            }
        }
        for change in &feed.changes {
            let taken = catch_unwind(AssertUnwindSafe(|| match feed.kind == NODE {
                true => self.node_changed(change, now),
                false => self.pod_changed(change, now),
            }));
            if taken.is_err() {
                let object = change.object.key();
                tracing::error!(
                    object,
                    "taking in a change panicked; correct or delete the object"
                );
            }
        }
        if feed.ends {
            self.awaited.remove(feed.kind.topic());
            if feed.kind == POD {
                self.forget_vanished();
            }
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
            self.assumed.remove(uid);
            if self.cluster.remove_pod(uid) {
                self.queue.wake(now, |_| true);
            }
        } else if pod.spec.node_name.is_empty() {
            self.unbound(pod, change);
        } else {
            self.queue.remove(uid);
            self.assumed.remove(uid);
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
        let assumed = self.assumed.contains_key(&pod.metadata.uid);
        let info = Arc::new(PodInfo::new(pod));
        if assumed {
            self.queue.hold(info, Arc::clone(&change.object));
        } else {
            self.queue.put(info, Arc::clone(&change.object));
        }
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

    pub fn work(&mut self, ctx: &mut Ctx<Self>) {
        if !self.awaited.is_empty() || self.settling {
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
            Err(_) => self.set_aside(&pending, ctx),
        }
    }

    fn set_aside(&mut self, pending: &Pending, ctx: &mut Ctx<Self>) {
        let pod = pending.object.key();
        tracing::error!(pod, "deciding on a pod panicked; it is set aside for a while");
        let text = "the scheduler panics on this pod and leaves it alone for a while; correct or \
            delete it";
        self.hands.record(Note::warning(ObjectRef::to(&pending.object), "SetAside", text));
        self.queue.set_aside(pending.info.uid(), "panic".into(), ctx.now());
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
            let (ns, name) = (object.namespace(), object.name());
            let told = hands.unschedulable(ns, name, &uid, &message).await;
            told.map_err(|status| (uid, status))
        };
        ctx.offload(write, |me, told, ctx| {
            if let Err((uid, status)) = told {
                tracing::debug!(uid, %status, "condition PodScheduled was not written");
                me.queue.tell_again(&uid);
                me.work(ctx);
            }
        });
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
