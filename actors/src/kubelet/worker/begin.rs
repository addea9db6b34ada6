//! Begins actions on the pool, and pods: new ones, and those found running.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kabuki_runtime::{ContainerState, PodEvent, PodStatus as RuntimeStatus};
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::timeout,
};

use super::{
    Action, Job, Machine, Outcome, PodWorker, RuntimeNews, jobs,
    launch::{self, IMAGE_ANNOTATION},
    report::send_status,
};
use crate::{
    kernel::Ctx,
    kubelet::{
        context::timestamp,
        images,
        machine::{Finished, Found, Hook, LOST_MESSAGE, Running, Verdict},
        pod_view::PodView,
        sandbox::PodSandbox,
    },
};

/// One request to the API.
const API_WITHIN: Duration = Duration::from_secs(10);

impl PodWorker {
    /// A pod that is not on this node yet.
    pub(super) fn begin_new(&mut self, pod: Arc<Pod>, ctx: &mut Ctx<Self>) {
        let now = timestamp(ctx.wall());
        let mut machine = if pod.is_terminal() {
            Machine::new(pod.clone(), now)
        } else {
            Machine::revive(pod.clone(), now)
        };
        self.report.sent.clone_from(&pod.status);
        if pod.is_terminal() {
            machine.verdict = Some(history(&pod));
            self.frozen = true;
        } else if let Some(refusal) = self.refusal.as_ref().filter(|_| pod.deletion().is_none()) {
            let (reason, message) = (&refusal.reason, &refusal.message);
            self.node.recorder.pod(&pod, None, true, reason, message.clone());
            machine.reject(reason, message);
        }
        self.machine = Some(machine);
        if self.forgotten {
            self.forget(ctx);
        }
        self.sync(ctx);
    }

    /// A pod whose sandbox is there already: after a restart of the daemon, or of this actor.
    pub(super) fn adopt(
        &mut self,
        pod: Arc<Pod>,
        sandbox: Arc<dyn PodSandbox>,
        ctx: &mut Ctx<Self>,
    ) {
        let node = self.node.clone();
        let work = async move {
            let status = sandbox.status().await;
            let before = pod.status.as_ref().and_then(|s| s.pod_ip.clone());
            let before = before.and_then(|ip| ip.parse().ok());
            if !pod.host_network() && !jobs::network_ready(&node).await {
                tracing::warn!(pod = pod.full_name(), "adopting a pod without the pod network");
            }
            let ips = jobs::attach(&node, &pod, &sandbox, before).await;
            (pod, status, ips)
        };
        ctx.offload(work, |this, (pod, status, ips), ctx| {
            let now = timestamp(ctx.wall());
            // Newer versions may have come meanwhile.
            let pod = this.node.pod(&this.uid).unwrap_or(pod);
            this.report.sent.clone_from(&pod.status);
            let mut machine = match status {
                Ok(status) if !status.shim_lost => {
                    let (found, unstarted) = this.found(&pod, &status);
                    let ips = ips.clone().unwrap_or_default();
                    let mut machine = Machine::adopt(pod, ips, found, now);
                    machine.discard(unstarted);
                    machine
                }
                Ok(status) => {
                    let (found, _) = this.found(&pod, &status);
                    Machine::adopt_lost(pod, found, now)
                }
                Err(error) => {
                    tracing::warn!(uid = this.uid, %error, "a pod's shim does not answer");
                    Machine::adopt_lost(pod, Vec::new(), now)
                }
            };
            if let Err(message) = ips {
                tracing::warn!(uid = this.uid, message, "cannot attach a pod again");
                machine.ips = pod_ips(&machine.pod);
            }
            if machine.pod.is_terminal() {
                machine.verdict = Some(history(&machine.pod));
            }
            this.machine = Some(machine);
            if this.forgotten {
                this.forget(ctx);
            }
            this.sync(ctx);
            // What ended while nobody listened.
            this.look(ctx);
        });
    }

    /// What the runtime knows of the pod's containers, oldest first, and the ids of those that an
    /// earlier daemon made and did not come to start.
    fn found(&mut self, pod: &Pod, status: &RuntimeStatus) -> (Vec<Found>, Vec<String>) {
        let (mut found, mut unstarted) = (Vec::new(), Vec::new());
        for container in &status.containers {
            let lost = container.exit.as_ref().is_some_and(|e| e.lost);
            if container.started_at.is_none()
                && (container.state == ContainerState::Created || lost)
            {
                unstarted.push(container.id.clone());
                continue;
            }
            if pod.container(&container.name).is_none() {
                continue;
            }
            self.remember(&container.id, &container.name, container.attempt);
            let started = container.started_at.map(timestamp);
            let spec_image = container.annotations.get(IMAGE_ANNOTATION).cloned();
            match (container.state, &container.exit) {
                (ContainerState::Running, _) => found.push(Found::Running(
                    container.name.clone(),
                    Running {
                        id: container.id.clone(),
                        attempt: container.attempt,
                        started_at: started.unwrap_or_else(|| timestamp(container.created_at)),
                        spec_image: spec_image.unwrap_or_else(|| container.image.clone()),
                        image: container.image.clone(),
                        image_id: container.image_id.clone(),
                        hook: Hook::Done,
                        stop: None,
                    },
                )),
                (_, exit) => found.push(Found::Ended(Finished {
                    id: container.id.clone(),
                    container: container.name.clone(),
                    attempt: container.attempt,
                    started_at: started,
                    finished_at: exit
                        .as_ref()
                        .map_or_else(|| timestamp(container.created_at), |e| timestamp(e.at)),
                    exit_code: exit.as_ref().map_or(255, |e| e.code),
                    reason: exit.as_ref().map_or("NeverStarted", exit_reason).to_owned(),
                    message: lost.then(|| LOST_MESSAGE.to_owned()),
                })),
            }
        }
        (found, unstarted)
    }

    /// Begins one action; its outcome comes back by message.
    pub(super) fn begin(&mut self, action: Action, ctx: &mut Ctx<Self>) {
        let Some(job) = self.job() else { return };
        match action {
            Action::CreateSandbox => self.run_whole(jobs::create_sandbox(job), ctx),
            Action::PrepareVolumes => self.run_whole(jobs::prepare_volumes(job, true), ctx),
            Action::EnsureImage { container } => {
                let work = async move {
                    let result = images::ensure(&job.node, &job.pod, &container).await;
                    Outcome::Image { container, result }
                };
                self.run(work, ctx);
            }
            Action::Start { container, attempt, image } => {
                let id = new_id();
                self.remember(&id, &container, attempt);
                self.run_whole(launch::start(job, container, id, attempt, image), ctx);
            }
            Action::PostStart { container, id } => {
                self.run(jobs::post_start(job, container, id), ctx);
            }
            Action::Probe { container, id, kind } => {
                self.run(jobs::probe(job, container, id, kind), ctx);
            }
            Action::Stop { container, id, grace, hook, event } => {
                if let Some(event) = event {
                    job.tell(&container, false, "Killing", event);
                }
                let task = tokio::spawn(jobs::stop(job, container, id, grace, hook));
                ctx.offload(task, |this, done, ctx| match done {
                    Ok(()) => this.look(ctx),
                    Err(error) => fall_with(error),
                });
            }
            Action::Tell { container, reason, message } => {
                job.tell(&container, true, reason, message);
            }
            Action::Remove { id } => {
                self.known.remove(&id);
                ctx.offload(remove(job, id), |_, (), _| ());
            }
            Action::Destroy => self.run_whole(jobs::destroy(job), ctx),
            Action::Delete => self.delete(job, ctx),
        }
    }

    /// Runs work to its end even if this actor falls meanwhile: half a container is worse than
    /// one nobody waits for.
    fn run(&mut self, work: impl Future<Output = Outcome> + Send + 'static, ctx: &mut Ctx<Self>) {
        let task = tokio::spawn(work);
        ctx.offload(task, |this, done, ctx| match done {
            Ok(outcome) => this.take(outcome, ctx),
            Err(error) => fall_with(error),
        });
    }

    /// Runs work that the next worker must not begin again beside it: see [`PodWork::turn`].
    fn run_whole(
        &mut self,
        work: impl Future<Output = Outcome> + Send + 'static,
        ctx: &mut Ctx<Self>,
    ) {
        let turn = self.node.work(&self.uid).turn.clone().try_read_owned();
        let whole = async move {
            let outcome = work.await;
            drop(turn);
            outcome
        };
        self.run(whole, ctx);
    }

    /// The last status, then the deletion.
    fn delete(&mut self, job: Job, ctx: &mut Ctx<Self>) {
        if self.forgotten {
            self.take(Outcome::Deleted, ctx);
            return;
        }
        let last = self.last_patch(ctx);
        self.run(
            async move {
                if let Some(patch) = last
                    && let Err(error) = send_status(&job, &patch).await
                {
                    tracing::debug!(pod = job.pod.full_name(), %error, "last status was not taken");
                }
                delete_pod(&job).await
            },
            ctx,
        );
    }

    /// Listens to a sandbox, from now on.
    pub(super) fn listen(&mut self, events: &broadcast::Sender<PodEvent>, ctx: &mut Ctx<Self>) {
        if let Some(earlier) = self.listener.take() {
            earlier.cancel();
        }
        let news = futures_util::stream::unfold(events.subscribe(), |mut events| async {
            match events.recv().await {
                Ok(event) => Some((RuntimeNews(Some(event)), events)),
                Err(RecvError::Lagged(_)) => Some((RuntimeNews(None), events)),
                Err(RecvError::Closed) => None,
            }
        });
        self.listener = Some(ctx.pump(news));
    }
}

/// A panic in the work is the worker's.
fn fall_with(error: tokio::task::JoinError) {
    if let Ok(payload) = error.try_into_panic() {
        std::panic::resume_unwind(payload);
    }
}

/// How a pod ended, as the API remembers it.
fn history(pod: &Pod) -> Verdict {
    let status = pod.status.clone().unwrap_or_default();
    Verdict {
        succeeded: status.phase.as_deref() == Some("Succeeded"),
        reason: status.reason,
        message: status.message,
    }
}

pub(super) fn pod_ips(pod: &Pod) -> Vec<String> {
    let status = pod.status.as_ref();
    status.and_then(|s| s.pod_ips.clone()).into_iter().flatten().map(|ip| ip.ip).collect()
}

fn exit_reason(exit: &kabuki_runtime::Exit) -> &'static str {
    match exit {
        exit if exit.oom => "OOMKilled",
        exit if exit.code == 0 => "Completed",
        _ => "Error",
    }
}

/// 64 hexadecimal digits, as container ids look everywhere.
fn new_id() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    half() + &half()
}

async fn remove(job: Job, id: String) {
    let Some(sandbox) = job.sandbox else { return };
    match sandbox.remove_container(&id).await {
        Ok(()) | Err(kabuki_runtime::Error::NotFound(_)) => {}
        Err(error) => tracing::debug!(id, %error, "cannot remove a dead container"),
    }
}

async fn delete_pod(job: &Job) -> Outcome {
    let api: Api<Pod> =
        Api::namespaced(job.node.config.client.clone(), PodView::namespace(&*job.pod));
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(job.pod.uid().to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match timeout(API_WITHIN, api.delete(PodView::name(&*job.pod), &params)).await {
        Ok(Ok(_)) => Outcome::Deleted,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Outcome::Deleted,
        Ok(Err(error)) => Outcome::DeleteFailed(error.to_string()),
        Err(_) => Outcome::DeleteFailed("the API did not answer".to_owned()),
    }
}
