//! One pod on this node: a thin actor around [`Machine`]. It begins what the machine decides,
//! brings the outcomes back, and keeps the pod's status in the API up to date.

mod begin;
mod handlers;
pub(super) mod jobs;
pub(super) mod launch;
mod report;

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{Actor, Message};
use k8s_openapi::{
    api::core::v1::{Pod, PodStatus},
    jiff::Timestamp,
};
use serde_json::json;
use tokio::time::timeout;

use super::{
    admission::Refusal,
    context::{NodeContext, timestamp},
    kubelet::{Kubelet, PodGone},
    machine::{Action, Machine, Outcome},
    sandbox::PodSandbox,
};
use crate::{
    kernel::{ActorRef, Ctx, Performer, TimerHandle},
    recreate_on_restart,
};
use jobs::Job;

/// How often volumes whose content may change are looked at.
const REFRESH_EVERY: Duration = Duration::from_secs(20);
/// Container ids remembered to understand events: those of the last runs.
const MAX_IDS: usize = 256;
/// How long a worker made anew waits for what the one before had begun. Each such job ends by its own
/// limits before.
const PREDECESSOR_WITHIN: Duration = Duration::from_secs(120);
/// Shortest pause before a decision is made again by time.
const MIN_WAKE: Duration = Duration::from_millis(1);

/// The pod has a newer version.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct UpdatePod(pub Arc<Pod>);

/// The pod is gone from the API, whatever runs here.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ForgetPod;

/// The runtime has news; `None` when some were missed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct RuntimeNews(Option<kabuki_runtime::PodEvent>);

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Wake;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct FlushStatus;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct RefreshVolumes;

/// What a worker is made from.
#[derive(Clone)]
pub struct WorkerArgs {
    /// The node.
    pub node: Arc<NodeContext>,
    /// Whom to tell when the pod is gone.
    pub kubelet: ActorRef<Kubelet>,
    /// Uid of the pod; its latest version is in the node's context.
    pub uid: String,
    /// Tells this worker from an earlier one of the same pod.
    pub serial: u64,
    /// Why the node cannot take the pod.
    pub refusal: Option<Refusal>,
}

/// Reporting to the API.
#[derive(Default)]
struct Report {
    /// What the API has, as far as is known.
    sent: Option<PodStatus>,
    /// Resource version of the latest answer to our own writes.
    version: u64,
    busy: bool,
    failures: u32,
    timer: Option<TimerHandle>,
}

/// A container this worker has started, or found.
#[derive(Debug, Clone)]
struct Known {
    container: String,
    attempt: u32,
}

/// One pod's worker.
pub struct PodWorker {
    node: Arc<NodeContext>,
    kubelet: ActorRef<Kubelet>,
    uid: String,
    serial: u64,
    refusal: Option<Refusal>,
    machine: Option<Machine>,
    /// The pod was done with before this daemon saw it: its status is history.
    frozen: bool,
    /// The pod is gone from the API.
    forgotten: bool,
    report: Report,
    known: HashMap<String, Known>,
    wake: Option<TimerHandle>,
    listener: Option<TimerHandle>,
}

impl Performer for PodWorker {
    type Args = WorkerArgs;
    const MAILBOX: usize = 512;

    fn create(args: &WorkerArgs) -> Self {
        Self {
            node: args.node.clone(),
            kubelet: args.kubelet.clone(),
            uid: args.uid.clone(),
            serial: args.serial,
            refusal: args.refusal.clone(),
            machine: None,
            frozen: false,
            forgotten: false,
            report: Report::default(),
            known: HashMap::new(),
            wake: None,
            listener: None,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        let Some(machine) = &self.machine else { return json!({"uid": self.uid}) };
        let containers = machine.containers.iter().map(|c| {
            json!({
                "name": c.name,
                "kind": format!("{:?}", c.kind),
                "restarts": c.restarts(),
                "ready": c.is_ready(),
                "running": c.running().map(|r| r.id.clone()),
                "waiting": c.trouble.as_ref().map(|t| t.reason.clone()),
            })
        });
        json!({
            "uid": self.uid,
            "sandbox": format!("{:?}", machine.sandbox),
            "volumes": format!("{:?}", machine.volumes),
            "ips": machine.ips,
            "ending": machine.is_ending(),
            "deletion": format!("{:?}", machine.deletion),
            "containers": containers.collect::<Vec<_>>(),
        })
    }
}

recreate_on_restart!(PodWorker);

impl Actor for PodWorker {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.every(REFRESH_EVERY, RefreshVolumes);
        let turn = Arc::clone(&self.node.work(&self.uid).turn);
        if turn.try_write().is_ok() {
            return self.arrive(ctx);
        }
        // What the worker before this one had begun.
        let done = async move { drop(timeout(PREDECESSOR_WITHIN, turn.write()).await) };
        ctx.offload(done, |this, (), ctx| this.arrive(ctx));
    }
}

impl PodWorker {
    /// Takes up the pod as it is here by now.
    fn arrive(&mut self, ctx: &mut Ctx<Self>) {
        let Some(pod) = self.node.pod(&self.uid) else {
            self.finish(ctx);
            return;
        };
        match self.node.sandbox(&self.uid) {
            Some(entry) => {
                self.listen(&entry.events, ctx);
                self.adopt(pod, entry.sandbox, ctx);
            }
            None => self.begin_new(pod, ctx),
        }
    }

    /// One round: decide, begin, report.
    fn sync(&mut self, ctx: &mut Ctx<Self>) {
        let now = timestamp(ctx.wall());
        let Some(machine) = &mut self.machine else { return };
        let plan = machine.decide(now);
        if machine.is_finished() {
            self.finish(ctx);
            return;
        }
        for action in plan.actions {
            self.begin(action, ctx);
        }
        if let Some(timer) = self.wake.take() {
            timer.cancel();
        }
        if let Some(at) = plan.wake {
            let pause = Duration::try_from(at.duration_since(now)).unwrap_or(MIN_WAKE);
            self.wake = Some(ctx.after(pause.max(MIN_WAKE), Wake));
        }
        self.flush(ctx);
    }

    /// Takes an outcome in and goes on.
    fn take(&mut self, outcome: Outcome, ctx: &mut Ctx<Self>) {
        if let Outcome::SandboxReady(_) = &outcome
            && let Some(entry) = self.node.sandbox(&self.uid)
        {
            self.listen(&entry.events, ctx);
        }
        // Before somebody listened the shim may have been lost; a start fails when it is.
        let look = matches!(outcome, Outcome::SandboxReady(_) | Outcome::StartFailed { .. });
        self.tell_probe(&outcome);
        let now = timestamp(ctx.wall());
        let Some(machine) = &mut self.machine else { return };
        let plan = machine.apply(outcome, now);
        for action in plan.actions {
            self.begin(action, ctx);
        }
        self.sync(ctx);
        if look {
            self.look(ctx);
        }
    }

    fn job(&self) -> Option<Job> {
        let machine = self.machine.as_ref()?;
        Some(Job {
            node: self.node.clone(),
            pod: machine.pod.clone(),
            sandbox: self.sandbox(),
            ips: machine.ips.clone(),
        })
    }

    fn sandbox(&self) -> Option<Arc<dyn PodSandbox>> {
        self.node.sandbox(&self.uid).map(|e| e.sandbox)
    }

    fn remember(&mut self, id: &str, container: &str, attempt: u32) {
        if self.known.len() >= MAX_IDS {
            let live: Vec<String> = self.machine.iter().flat_map(Machine::run_ids).collect();
            self.known.retain(|id, _| live.contains(id));
        }
        let known = Known { container: container.to_owned(), attempt };
        self.known.insert(id.to_owned(), known);
    }

    fn started_at(&self, id: &str) -> Option<Timestamp> {
        let machine = self.machine.as_ref()?;
        let mut running = machine.containers.iter().filter_map(|c| c.running());
        running.find(|r| r.id == id).map(|r| r.started_at)
    }

    /// Nothing is left to do.
    fn finish(&mut self, ctx: &mut Ctx<Self>) {
        self.node.forget_pod(&self.uid);
        let gone = PodGone { uid: self.uid.clone(), serial: self.serial };
        let kubelet = self.kubelet.clone();
        // Not through the mailbox of an actor that is about to stop.
        tokio::spawn(async move { drop(kubelet.tell_or_wait(gone).await) });
        ctx.stop();
    }
}
