//! What a worker hears: versions of its pod, the runtime, its own timers.

use std::sync::Arc;

use actix::Handler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kabuki_runtime::{ContainerState, Exit, PodEvent};

use super::{
    FlushStatus, ForgetPod, Outcome, PodWorker, RefreshVolumes, RuntimeNews, UpdatePod, Wake,
    begin::pod_ips, jobs,
};
use crate::{
    kernel::Ctx,
    kubelet::{
        context::timestamp,
        machine::{ProbeOutcome, Step},
        pod_view::PodView,
        volumes,
    },
};

impl Handler<UpdatePod> for PodWorker {
    type Result = ();

    fn handle(&mut self, UpdatePod(pod): UpdatePod, ctx: &mut Ctx<Self>) {
        self.note_api_status(&pod);
        let Some(machine) = &mut self.machine else { return };
        if self.forgotten {
            return;
        }
        // A version from before our deletion mark would bring the pod back to life.
        let ending = machine.pod.deletion().is_some();
        if ending && pod.deletion().is_none() {
            return;
        }
        let changed = machine.pod.metadata.labels != pod.metadata.labels
            || machine.pod.metadata.annotations != pod.metadata.annotations;
        if machine.ips.is_empty() && machine.sandbox == Step::Done {
            machine.ips = pod_ips(&pod);
        }
        machine.update(pod);
        if changed {
            self.refresh(ctx);
        }
        self.sync(ctx);
    }
}

impl Handler<ForgetPod> for PodWorker {
    type Result = ();

    fn handle(&mut self, _: ForgetPod, ctx: &mut Ctx<Self>) {
        self.forget(ctx);
        self.sync(ctx);
    }
}

impl Handler<Wake> for PodWorker {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Ctx<Self>) {
        self.sync(ctx);
    }
}

impl Handler<FlushStatus> for PodWorker {
    type Result = ();

    fn handle(&mut self, _: FlushStatus, ctx: &mut Ctx<Self>) {
        self.report.timer = None;
        self.flush_now(ctx);
    }
}

impl Handler<RefreshVolumes> for PodWorker {
    type Result = ();

    fn handle(&mut self, _: RefreshVolumes, ctx: &mut Ctx<Self>) {
        self.refresh(ctx);
    }
}

impl Handler<RuntimeNews> for PodWorker {
    type Result = ();

    fn handle(&mut self, RuntimeNews(event): RuntimeNews, ctx: &mut Ctx<Self>) {
        match event {
            Some(PodEvent::Exited { id, exit }) => self.exited(id, exit, ctx),
            Some(PodEvent::ShimLost) => {
                if let Some(job) = self.job() {
                    let text = "Pod sandbox changed, it will be killed and re-created.";
                    job.tell("", false, "SandboxChanged", text);
                }
                self.take(Outcome::SandboxLost, ctx);
            }
            Some(PodEvent::Started { .. }) => {}
            None => self.look(ctx),
        }
    }
}

impl PodWorker {
    /// Gone from the API means: stop here too, without ceremony.
    pub(super) fn forget(&mut self, ctx: &Ctx<Self>) {
        self.forgotten = true;
        let now = timestamp(ctx.wall());
        let Some(machine) = &mut self.machine else { return };
        let mut pod = (*machine.pod).clone();
        pod.metadata.deletion_timestamp.get_or_insert(Time(now));
        pod.metadata.deletion_grace_period_seconds = Some(0);
        machine.update(Arc::new(pod));
    }

    fn exited(&mut self, id: String, exit: Exit, ctx: &mut Ctx<Self>) {
        let Some(known) = self.known.get(&id).cloned() else { return };
        let Some(job) = self.job() else { return };
        let started = self.started_at(&id);
        let work = jobs::exited(job, known.container, id, known.attempt, started, exit);
        ctx.offload(work, |this, outcome, ctx| this.take(outcome, ctx));
    }

    /// Asks the runtime what has ended, where events may have been missed.
    pub(super) fn look(&mut self, ctx: &mut Ctx<Self>) {
        let Some(sandbox) = self.sandbox() else { return };
        let ask = async move { sandbox.status().await };
        ctx.offload(ask, |this, status, ctx| {
            let status = match status {
                Ok(status) => status,
                Err(error) => {
                    tracing::debug!(uid = this.uid, %error, "cannot ask for a pod's status");
                    return;
                }
            };
            if status.shim_lost {
                this.take(Outcome::SandboxLost, ctx);
                return;
            }
            for container in status.containers {
                let ended = container.state == ContainerState::Exited;
                if let Some(exit) = container.exit.filter(|_| ended)
                    && this.started_at(&container.id).is_some()
                {
                    this.exited(container.id, exit, ctx);
                }
            }
        });
    }

    /// Brings changed ConfigMaps, Secrets, tokens and metadata into the volumes.
    fn refresh(&mut self, ctx: &mut Ctx<Self>) {
        let Some(machine) = &self.machine else { return };
        let due = machine.volumes == Step::Done && !machine.is_ending();
        if !due || !volumes::can_change(&machine.pod) {
            return;
        }
        let Some(job) = self.job() else { return };
        let work = async move { volumes::prepare(&job.node, &job.pod, false).await };
        ctx.offload(work, |this, refreshed, _| {
            // What is mounted stays as it is; the next round tries again.
            if let Err(error) = refreshed {
                tracing::debug!(uid = this.uid, %error, "cannot refresh a volume");
            }
        });
    }

    /// An event for a probe whose failure counts.
    pub(super) fn tell_probe(&self, outcome: &Outcome) {
        let Outcome::Probed { container, id, kind, result } = outcome else { return };
        let Some((machine, job)) = self.machine.as_ref().zip(self.job()) else { return };
        let current = machine.container(container).filter(|c| {
            c.running().is_some_and(|r| &r.id == id && r.stop.is_none()) && c.probes.counts(*kind)
        });
        if current.is_none() {
            return;
        }
        let name = kind.name();
        match result {
            ProbeOutcome::Success => {}
            ProbeOutcome::Failure(text) => {
                job.tell(container, true, "Unhealthy", format!("{name} probe failed: {text}"));
            }
            ProbeOutcome::Unknown(text) => {
                job.tell(container, true, "Unhealthy", format!("{name} probe errored: {text}"));
            }
        }
    }
}
