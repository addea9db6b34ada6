//! What came of the actions, taken into the state.

use k8s_openapi::jiff::Timestamp;

use super::{
    Finished, Hook, ImageStep, MAX_EARLY_EXITS, Machine, Outcome, Plan, ProbeKind, ProbeOutcome,
    Probes, Run, Running, Step, Trouble, later, probes::Turn, retry_at,
};

/// Pause after the first failed pull, and the longest one, in seconds.
const PULL_DELAY: i64 = 10;
const MAX_PULL_DELAY: i64 = 300;

/// Message of a container that was killed since its shim was gone.
pub(in crate::kubelet) const LOST_MESSAGE: &str =
    "killed: the process that held the pod's containers is gone";

impl Machine {
    /// Takes an outcome in; what it makes necessary at once (a stop) is in the plan, the rest is
    /// for the next [`Machine::decide`].
    pub fn apply(&mut self, outcome: Outcome, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        match outcome {
            Outcome::SandboxReady(ips) => {
                self.sandbox = Step::Done;
                self.ips = ips;
            }
            Outcome::SandboxFailed(message) => fail(&mut self.sandbox, message, now),
            Outcome::SandboxLost => self.lose_sandbox(now),
            Outcome::VolumesReady => self.volumes = Step::Done,
            Outcome::VolumesFailed(message) => fail(&mut self.volumes, message, now),
            Outcome::Image { container, result } => self.take_image(&container, result, now),
            Outcome::Started { container, running } => self.started(&container, running),
            Outcome::StartFailed { container, trouble, ended } => {
                self.start_failed(&container, trouble, ended, now);
            }
            Outcome::PostStart { container, id, result } => {
                self.post_started(&container, &id, result, now, &mut plan);
            }
            Outcome::Probed { container, id, kind, result } => {
                self.probed(&container, &id, kind, &result, now, &mut plan);
            }
            Outcome::Exited(finished) => self.exited(finished),
            Outcome::Destroyed => self.sandbox = self.after_removal(),
            Outcome::DestroyFailed(message) => fail(&mut self.sandbox, message, now),
            Outcome::Deleted => self.deletion = Step::Gone,
            Outcome::DeleteFailed(message) => fail(&mut self.deletion, message, now),
        }
        plan
    }

    /// A sandbox that was lost under a living pod is made anew.
    fn after_removal(&self) -> Step {
        if self.is_ending() { Step::Gone } else { Step::Todo }
    }

    fn take_image(
        &mut self,
        name: &str,
        result: Result<std::sync::Arc<kabuki_runtime::ImageInfo>, Trouble>,
        now: Timestamp,
    ) {
        let Some(container) = self.container_mut(name) else { return };
        container.image = match result {
            Ok(image) => {
                container.trouble = None;
                ImageStep::Here(image)
            }
            Err(trouble) => {
                let delay = match container.image {
                    ImageStep::Failed { delay, .. } => (delay * 2).min(MAX_PULL_DELAY),
                    _ => PULL_DELAY,
                };
                container.trouble = Some(trouble);
                ImageStep::Failed { retry_at: later(now, delay), delay }
            }
        };
    }

    fn started(&mut self, name: &str, running: Running) {
        let spec = self.spec_of(name).cloned();
        let early = self.early_exits.iter().position(|e| e.id == running.id);
        let early = early.map(|at| self.early_exits.swap_remove(at));
        let lost = lost(name, &running);
        let Some(container) = self.container_mut(name) else { return };
        let doomed = std::mem::take(&mut container.doomed);
        container.trouble = None;
        container.retry_at = None;
        container.start_failures = 0;
        container.probes = spec.map(|s| Probes::start(&s, running.started_at)).unwrap_or_default();
        container.shown_image = Some((running.image.clone(), running.image_id.clone()));
        let forgotten = match std::mem::replace(&mut container.run, Run::Running(running)) {
            Run::Starting(Some(ended)) => container.last.replace(ended),
            _ => None,
        };
        self.garbage.extend(forgotten.map(|f| f.id).filter(|id| !id.is_empty()));
        if let Some(finished) = early.or_else(|| doomed.then_some(lost)) {
            self.exited(finished);
        }
    }

    fn start_failed(
        &mut self,
        name: &str,
        trouble: Trouble,
        ended: Option<Finished>,
        now: Timestamp,
    ) {
        let Some(container) = self.container_mut(name) else { return };
        container.start_failures += 1;
        container.doomed = false;
        container.trouble = Some(trouble);
        let before = match std::mem::replace(&mut container.run, Run::Never) {
            Run::Starting(before) => before,
            other => {
                container.run = other;
                return;
            }
        };
        match (ended, before) {
            (Some(ended), before) => {
                container.run = Run::Ended(ended);
                if let Some(forgotten) = before.and_then(|b| container.last.replace(b)) {
                    self.garbage.push(forgotten.id);
                }
            }
            (None, before) => {
                container.retry_at = Some(retry_at(now, container.start_failures));
                container.run = before.map_or(Run::Never, Run::Ended);
            }
        }
    }

    fn post_started(
        &mut self,
        name: &str,
        id: &str,
        result: Result<(), String>,
        now: Timestamp,
        plan: &mut Plan,
    ) {
        let Some(running) = self.container_mut(name).and_then(|c| c.running_mut(id)) else {
            return;
        };
        running.hook = Hook::Done;
        if result.is_err() {
            let grace = self.own_grace();
            let event = Some("FailedPostStartHook".to_owned());
            self.order_stop(name, now, grace, event, plan);
        }
    }

    fn probed(
        &mut self,
        name: &str,
        id: &str,
        kind: ProbeKind,
        result: &ProbeOutcome,
        now: Timestamp,
        plan: &mut Plan,
    ) {
        let Some(container) = self.container_mut(name) else { return };
        if container.running_mut(id).is_none() {
            return;
        }
        if container.probes.take(kind, result, now) == Turn::Failed {
            let grace = self.probe_grace(name, kind);
            let what = kind.name().to_lowercase();
            let event = format!("Container {name} failed {what} probe, will be restarted");
            self.order_stop(name, now, grace, Some(event), plan);
        }
    }

    fn exited(&mut self, finished: Finished) {
        let room = self.early_exits.len() < MAX_EARLY_EXITS;
        let Some(container) = self.container_mut(&finished.container) else { return };
        match &container.run {
            Run::Running(running) if running.id == finished.id => {
                container.run = Run::Ended(finished);
                container.trouble = None;
            }
            Run::Starting(_) if room => {
                self.early_exits.push(finished);
            }
            _ => {}
        }
    }

    /// Every container ended with the shim; what was being started finds its own error, or has just
    /// ended too.
    fn lose_sandbox(&mut self, now: Timestamp) {
        if self.sandbox != Step::Done {
            return;
        }
        for container in &mut self.containers {
            match &container.run {
                Run::Running(running) => {
                    let finished = lost(&container.name, running);
                    container.run = Run::Ended(Finished { finished_at: now, ..finished });
                }
                Run::Starting(_) => container.doomed = true,
                Run::Never | Run::Ended(_) => {}
            }
        }
        self.begin_again();
        // Failed, due at once: `decide` makes it anew, after the remains are destroyed.
        self.sandbox = Step::Failed {
            retry_at: now,
            failures: 1,
            message: "the pod's sandbox was lost".to_owned(),
        };
    }
}

/// The end of a container that was killed since its shim was gone.
fn lost(name: &str, running: &Running) -> Finished {
    Finished {
        id: running.id.clone(),
        container: name.to_owned(),
        attempt: running.attempt,
        started_at: Some(running.started_at),
        finished_at: running.started_at,
        exit_code: 137,
        reason: "Error".to_owned(),
        message: Some(LOST_MESSAGE.to_owned()),
    }
}

fn fail(step: &mut Step, message: String, now: Timestamp) {
    let failures = step.failures() + 1;
    *step = Step::Failed { retry_at: retry_at(now, failures), failures, message };
}
