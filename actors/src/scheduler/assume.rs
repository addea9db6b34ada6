//! What the scheduler counts on: pods whose binds are under way, done or of unknown outcome, until
//! the store shows where they are.

use std::{sync::Arc, time::Duration};

use kabuki_api::status::Status;
use tokio::time::Instant;

use super::{actor::Scheduler, hands::Hands, pod_info::PodInfo, queue::Pending};
use crate::{
    controllers::framework::{Note, ObjectRef, is_out_of_reach},
    kernel::Ctx,
};

/// Wait before the store is asked again whether earlier binds are settled.
const SETTLE_RETRY: Duration = Duration::from_millis(200);

/// A pod that counts on a node although the store has not shown it there yet.
pub(super) struct Assumed {
    pub node: String,
    pub info: Arc<PodInfo>,
    /// Its bind is under way, or was not answered.
    pub open: bool,
}

impl Scheduler {
    /// Counts the pod on its node at once, so that the next decision sees it there.
    pub fn bind(&mut self, pending: Pending, node: String, ctx: &mut Ctx<Self>) {
        let info = Arc::clone(&pending.info);
        self.cluster.place(&node, Arc::clone(&info));
        let assumed = Assumed { node: node.clone(), info, open: true };
        self.assumed.insert(pending.info.uid().to_owned(), assumed);
        self.binding += 1;
        let hands = Arc::clone(&self.hands);
        let meta = &pending.info.pod.metadata;
        let (ns, name, uid) = (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        let target = node.clone();
        let work = async move { hands.bind(&ns, &name, &uid, &target).await };
        ctx.offload(work, move |me, result, ctx| {
            me.binding = me.binding.saturating_sub(1);
            me.bind_ended(pending, node, result, ctx);
            me.work(ctx);
        });
    }

    fn bind_ended(
        &mut self,
        pending: Pending,
        node: String,
        result: Result<(), Status>,
        ctx: &mut Ctx<Self>,
    ) {
        match result {
            Ok(()) => self.is_bound(&pending, &node),
            Err(status) if is_out_of_reach(&status) => {
                self.doubtful.push((pending, node));
                self.settle(ctx);
            }
            Err(status) => self.not_bound(&pending, status.to_string(), ctx.now()),
        }
    }

    fn is_bound(&mut self, pending: &Pending, node: &str) {
        self.bound += 1;
        let meta = &pending.info.pod.metadata;
        if let Some(assumed) = self.assumed.get_mut(&meta.uid) {
            assumed.open = false;
        }
        let text = format!("Successfully assigned {}/{} to {node}", meta.namespace, meta.name);
        self.hands.record(Note::normal(ObjectRef::to(&pending.object), "Scheduled", text));
    }

    fn not_bound(&mut self, pending: &Pending, why: String, now: Instant) {
        self.refused += 1;
        let meta = &pending.info.pod.metadata;
        if self.hands.node_of(&meta.namespace, &meta.name, &meta.uid).is_some() {
            // Somebody else bound it; its change tells where, and ends the assumption.
            if let Some(assumed) = self.assumed.get_mut(&meta.uid) {
                assumed.open = false;
            }
            return;
        }
        // Without an assumption its change came first: it is counted where it is, or is gone.
        if self.assumed.remove(&meta.uid).is_some() {
            self.cluster.remove_pod(&meta.uid);
            self.queue.park(&meta.uid, why, now, true);
        }
    }

    /// Finds out what became of binds without an answer, then goes on.
    fn settle(&mut self, ctx: &mut Ctx<Self>) {
        if std::mem::replace(&mut self.settling, true) {
            return;
        }
        let covered = self.doubtful.len();
        ctx.offload(settled(Arc::clone(&self.hands)), move |me, (), ctx| {
            me.settling = false;
            let covered: Vec<_> = me.doubtful.drain(..covered.min(me.doubtful.len())).collect();
            for (pending, node) in covered {
                let meta = &pending.info.pod.metadata;
                match me.hands.node_of(&meta.namespace, &meta.name, &meta.uid) {
                    Some(at) if at == node => me.is_bound(&pending, &node),
                    _ => me.not_bound(&pending, "the store was out of reach".into(), ctx.now()),
                }
            }
            // A bind that lost its answer meanwhile may have begun after the question.
            if !me.doubtful.is_empty() {
                me.settle(ctx);
            }
            me.work(ctx);
        });
    }

    /// After a full state: pods that were bound and deleted while nothing was heard of them.
    pub fn forget_vanished(&mut self) {
        let gone: Vec<String> = self
            .assumed
            .iter()
            .filter(|(uid, assumed)| !assumed.open && !self.queue.knows(uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            self.assumed.remove(&uid);
            self.cluster.remove_pod(&uid);
        }
    }
}

/// Ends when it is certain what became of all binds so far.
pub(super) async fn settled(hands: Arc<dyn Hands>) {
    while let Err(status) = hands.settle().await {
        tracing::debug!(%status, "earlier binds are not settled");
        tokio::time::sleep(SETTLE_RETRY).await;
    }
}
