//! Keeps the pod's status in the API as it is here.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{FlushStatus, Job, PodWorker};
use crate::{
    kernel::Ctx,
    kubelet::{context::timestamp, pod_view::PodView, status},
};

/// A pod that is being set up reports after this: mostly it runs before, and says so instead.
const SETUP_DELAY: Duration = Duration::from_millis(200);
/// First and longest pause after the API did not take a status.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// One write.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

impl PodWorker {
    /// Reports what has changed, at once or after a short pause.
    pub(super) fn flush(&mut self, ctx: &mut Ctx<Self>) {
        let Some(new) = self.compute(ctx) else { return };
        let delayed = is_setup(&new) && self.report.failures == 0;
        if self.report.busy {
            return;
        }
        if !delayed && self.report.failures == 0 {
            self.flush_now(ctx);
        } else if self.report.timer.is_none() {
            let pause = if delayed { SETUP_DELAY } else { self.retry_pause() };
            self.report.timer = Some(ctx.after(pause, FlushStatus));
        }
    }

    fn retry_pause(&self) -> Duration {
        RETRY_MIN.saturating_mul(1 << self.report.failures.min(10)).min(RETRY_MAX)
    }

    /// The status as it is here; `None` for a pod whose status is history.
    fn compute(&self, ctx: &Ctx<Self>) -> Option<PodStatus> {
        let machine = self.machine.as_ref().filter(|_| !self.frozen)?;
        let now = timestamp(ctx.wall());
        let known = self.conditions();
        let status = status::compute(machine, &self.node.config.host_ips(), &known, now);
        self.node.set_status(&self.uid, Arc::new(status.clone()));
        Some(status)
    }

    /// Our own as last reported, those of others as the API has them.
    fn conditions(&self) -> Vec<PodCondition> {
        let of = |s: Option<&PodStatus>| s.and_then(|s| s.conditions.clone()).unwrap_or_default();
        let machine = self.machine.as_ref();
        let api = of(machine.and_then(|m| m.pod.status.as_ref()));
        let mut known = of(self.report.sent.as_ref());
        for condition in api {
            match known.iter_mut().find(|c| c.type_ == condition.type_) {
                Some(own) if status::is_own(&own.type_) => {}
                Some(other) => *other = condition,
                None => known.push(condition),
            }
        }
        known
    }

    /// The patch that brings the API up to date, if one is needed.
    pub(super) fn last_patch(&mut self, ctx: &Ctx<Self>) -> Option<Value> {
        let new = self.compute(ctx)?;
        status::status_patch(&self.uid, self.report.sent.as_ref(), &new)
    }

    pub(super) fn flush_now(&mut self, ctx: &mut Ctx<Self>) {
        if self.report.busy || self.forgotten {
            return;
        }
        let Some(new) = self.compute(ctx) else { return };
        let Some(patch) = status::status_patch(&self.uid, self.report.sent.as_ref(), &new) else {
            return;
        };
        let Some(job) = self.job() else { return };
        if let Some(timer) = self.report.timer.take() {
            timer.cancel();
        }
        self.report.busy = true;
        let work = async move { send_status(&job, &patch).await };
        ctx.offload(work, move |this, answer, ctx| {
            this.report.busy = false;
            match answer {
                Ok(pod) => {
                    this.report.failures = 0;
                    this.report.version = this.report.version.max(version(&pod));
                    this.report.sent = Some(new);
                }
                Err(error) if error.is_gone() => {
                    tracing::debug!(uid = this.uid, "the pod is gone from the API");
                    return;
                }
                Err(error) => {
                    this.report.failures += 1;
                    tracing::debug!(uid = this.uid, %error, "the API did not take a pod's status");
                }
            }
            this.flush(ctx);
        });
    }

    /// What the API has, unless it is older than our own last write.
    pub(super) fn note_api_status(&mut self, pod: &Pod) {
        if !self.report.busy && version(pod) > self.report.version {
            self.report.sent.clone_from(&pod.status);
        }
    }
}

fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Still on its way, with nothing to complain about.
fn is_setup(status: &PodStatus) -> bool {
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let mut containers = lists.into_iter().flatten().flatten();
    status.phase.as_deref() == Some("Pending")
        && containers.all(|c| {
            let waiting = c.state.as_ref().and_then(|s| s.waiting.as_ref());
            let reason = waiting.and_then(|w| w.reason.as_deref()).unwrap_or_default();
            matches!(reason, "" | "ContainerCreating" | "PodInitializing")
        })
}

/// The API did not take a status.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {} s", WRITE_WITHIN.as_secs())]
    Timeout,
}

impl StatusError {
    /// The pod is not there any more.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(s)) if s.code == 404)
    }
}

pub(super) async fn send_status(job: &Job, patch: &Value) -> Result<Pod, StatusError> {
    let api: Api<Pod> =
        Api::namespaced(job.node.config.client.clone(), PodView::namespace(&*job.pod));
    let name = PodView::name(&*job.pod);
    let params = PatchParams::default();
    let patch = Patch::Strategic(patch);
    let write = api.patch_status(name, &params, &patch);
    Ok(timeout(WRITE_WITHIN, write).await.map_err(|_| StatusError::Timeout)??)
}
