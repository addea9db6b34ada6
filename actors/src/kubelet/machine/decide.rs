//! What a living pod needs next.

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};

use super::{
    Action, Hook, ImageStep, Kind, Machine, Plan, ProbeKind, Run, Step, Trouble, Verdict, later,
};
use crate::kubelet::pod_view::{PodView, RestartPolicy};

/// Whether, and from when, a container may start.
enum Due {
    Now,
    At(Timestamp),
    /// The crash loop's pause ends then; it is so many seconds long.
    CrashLoop(Timestamp, i64),
}

/// How long a failed pull is shown as `ErrImagePull` before it becomes `ImagePullBackOff`, in
/// seconds.
const SHOW_PULL_ERROR: i64 = 2;

impl Machine {
    /// Decides what to do at `now`; marks what it orders as under way.
    pub fn decide(&mut self, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        self.check_deadline(now, &mut plan);
        let start = if self.is_ending() { Vec::new() } else { self.startable() };
        if self.is_ending() {
            self.decide_ending(now, &mut plan);
        } else {
            self.decide_setup(now, &mut plan);
            for at in start {
                self.decide_start(at, now, &mut plan);
            }
            self.decide_changes(now, &mut plan);
            self.decide_probes(now, &mut plan);
        }
        plan.actions.extend(self.garbage.drain(..).map(|id| Action::Remove { id }));
        plan
    }

    /// `activeDeadlineSeconds`
    fn check_deadline(&mut self, now: Timestamp, plan: &mut Plan) {
        let seconds = self.pod.spec.as_ref().and_then(|s| s.active_deadline_seconds);
        let Some(seconds) = seconds.filter(|_| self.verdict.is_none()) else { return };
        let deadline = later(self.started_at, seconds);
        if deadline > now {
            plan.wake_at(deadline);
            return;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.reject("DeadlineExceeded", message);
    }

    fn decide_setup(&mut self, now: Timestamp, plan: &mut Plan) {
        for (step, action) in [
            (&mut self.sandbox, Action::CreateSandbox),
            (&mut self.volumes, Action::PrepareVolumes),
        ] {
            if step.is_due(now) {
                // A failure is kept in sight while the next try runs.
                if let Step::Failed { retry_at, .. } = step {
                    *retry_at = Timestamp::MAX;
                } else {
                    *step = Step::Busy;
                }
                plan.actions.push(action);
            } else if let Step::Failed { retry_at, .. } = step
                && *retry_at < Timestamp::MAX
            {
                plan.wake_at(*retry_at);
            }
        }
    }

    /// Containers whose turn it is to run and that do not. Sets the verdict when none will any more.
    fn startable(&mut self) -> Vec<usize> {
        let policy = self.pod.restart_policy();
        let mut found = Vec::new();
        for (at, container) in self.containers.iter().enumerate() {
            match (container.kind, &container.run) {
                (Kind::Main, _) => break,
                (Kind::Sidecar, run) => {
                    if matches!(run, Run::Never | Run::Ended(_)) {
                        found.push(at);
                    }
                    if !self.initialized && !container.is_started() {
                        return found;
                    }
                }
                (Kind::Init, _) if self.initialized => {}
                (Kind::Init, Run::Ended(ended))
                    if ended.exit_code == 0 && !container.restart_anyway => {}
                (Kind::Init, Run::Ended(ended))
                    if policy == RestartPolicy::Never && ended.exit_code != 0 =>
                {
                    self.verdict = Some(Verdict { succeeded: false, reason: None, message: None });
                    return Vec::new();
                }
                (Kind::Init, Run::Never | Run::Ended(_)) => {
                    found.push(at);
                    return found;
                }
                (Kind::Init, _) => return found,
            }
        }
        self.initialized = true;
        let mut alive = false;
        for (at, container) in self.containers.iter().enumerate() {
            if container.kind != Kind::Main {
                continue;
            }
            let again = match &container.run {
                Run::Never => true,
                Run::Starting(_) | Run::Running(_) => false,
                Run::Ended(ended) => container.restart_anyway || restarts(policy, ended.exit_code),
            };
            alive |= again || !container.is_dead();
            if again {
                found.push(at);
            }
        }
        if !alive {
            let mut mains = self.containers.iter().filter(|c| c.kind == Kind::Main);
            let succeeded =
                mains.all(|c| matches!(&c.run, Run::Ended(ended) if ended.exit_code == 0));
            self.verdict = Some(Verdict { succeeded, reason: None, message: None });
            return Vec::new();
        }
        found
    }

    /// Image first (it needs no sandbox), then the start.
    fn decide_start(&mut self, at: usize, now: Timestamp, plan: &mut Plan) {
        let prepared = self.sandbox == Step::Done && self.volumes == Step::Done;
        let pod = self.pod.clone();
        let Some(container) = self.containers.get_mut(at) else { return };
        match due(container, now) {
            Due::Now => {}
            Due::At(when) => {
                plan.wake_at(when);
                return;
            }
            Due::CrashLoop(when, delay) => {
                plan.wake_at(when);
                plan.actions.extend(enter_crash_loop(&pod, container, delay));
                return;
            }
        }
        let name = container.name.clone();
        match &mut container.image {
            ImageStep::Busy => {}
            ImageStep::Failed { retry_at, .. } if *retry_at == Timestamp::MAX => {}
            ImageStep::Failed { retry_at, delay } if *retry_at > now => {
                let noticed = later(*retry_at, SHOW_PULL_ERROR - *delay);
                plan.wake_at(if noticed > now { noticed } else { *retry_at });
                if noticed <= now {
                    plan.actions.extend(enter_pull_back_off(&pod, container));
                }
            }
            ImageStep::Failed { retry_at, .. } => {
                *retry_at = Timestamp::MAX;
                plan.actions.push(Action::EnsureImage { container: name });
            }
            ImageStep::Unknown => {
                container.image = ImageStep::Busy;
                plan.actions.push(Action::EnsureImage { container: name });
            }
            ImageStep::Here(image) if prepared => {
                let image = image.clone();
                let attempt = container.next_attempt();
                let before = match std::mem::replace(&mut container.run, Run::Starting(None)) {
                    Run::Ended(ended) => {
                        container.crash_loop.restarted(ended.finished_at, now);
                        Some(ended)
                    }
                    _ => None,
                };
                container.run = Run::Starting(before);
                container.image = ImageStep::Unknown;
                container.restart_anyway = false;
                plan.actions.push(Action::Start { container: name, attempt, image });
            }
            ImageStep::Here(_) => {}
        }
    }

    /// An image that was changed in place replaces its container.
    fn decide_changes(&mut self, now: Timestamp, plan: &mut Plan) {
        let pod = self.pod.clone();
        let mut changed = Vec::new();
        for container in &mut self.containers {
            let Some(spec) = pod.container(&container.name) else { continue };
            let Run::Running(running) = &container.run else { continue };
            let image = spec.image.as_deref().unwrap_or_default();
            if running.stop.is_none() && running.spec_image != image {
                container.restart_anyway = true;
                let name = &container.name;
                changed.push((
                    name.clone(),
                    format!("Container {name} definition changed, will be restarted"),
                ));
            }
        }
        let grace = self.own_grace();
        for (name, event) in changed {
            self.order_stop(&name, now, grace, Some(event), plan);
        }
    }

    fn decide_probes(&mut self, now: Timestamp, plan: &mut Plan) {
        for container in &mut self.containers {
            let Run::Running(running) = &mut container.run else { continue };
            if running.stop.is_some() {
                continue;
            }
            let (name, id) = (&container.name, &running.id);
            if running.hook == Hook::Todo {
                running.hook = Hook::Busy;
                plan.actions.push(Action::PostStart { container: name.clone(), id: id.clone() });
            }
            let (due, wake) = container.probes.due(now);
            for kind in due {
                let (container, id) = (name.clone(), id.clone());
                plan.actions.push(Action::Probe { container, id, kind });
            }
            if let Some(wake) = wake {
                plan.wake_at(wake);
            }
        }
    }

    /// The grace a stop of a living pod's container has, in seconds.
    pub(super) fn own_grace(&self) -> i64 {
        let spec = self.pod.spec.as_ref();
        spec.and_then(|s| s.termination_grace_period_seconds).unwrap_or(30).max(0)
    }

    /// The grace a failed probe's stop has, in seconds.
    pub(super) fn probe_grace(&self, name: &str, kind: ProbeKind) -> i64 {
        let own = self.container(name).and_then(|c| c.probes.grace(kind));
        own.unwrap_or_else(|| self.own_grace())
    }
}

pub(super) fn restarts(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

fn due(container: &super::Container, now: Timestamp) -> Due {
    if let Some(at) = container.retry_at.filter(|at| *at > now) {
        return Due::At(at);
    }
    if let Run::Ended(ended) = &container.run
        && !container.restart_anyway
        && let Some((until, delay)) = container.crash_loop.until(ended.finished_at)
        && until > now
    {
        return Due::CrashLoop(until, delay);
    }
    Due::Now
}

/// The first look at a container in its crash loop gives it its reason, and an event.
fn enter_crash_loop(pod: &Pod, container: &mut super::Container, delay: i64) -> Option<Action> {
    const REASON: &str = "CrashLoopBackOff";
    let name = container.name.clone();
    let pause = go_duration(delay);
    let full = pod.full_name();
    let message = format!("back-off {pause} restarting failed container={name} pod={full}");
    let trouble = Trouble::new(REASON, message);
    if container.trouble.as_ref() == Some(&trouble) {
        return None;
    }
    container.trouble = Some(trouble);
    let message = format!("Back-off restarting failed container {name} in pod {full}");
    Some(Action::Tell { container: name, reason: "BackOff", message })
}

/// A pull that failed is shown as such first, then as waiting for the next try.
fn enter_pull_back_off(pod: &Pod, container: &mut super::Container) -> Option<Action> {
    let trouble = container.trouble.as_ref().filter(|t| t.reason == "ErrImagePull")?;
    let name = container.name.clone();
    let image = pod.container(&name).and_then(|c| c.image.clone()).unwrap_or_default();
    let short = format!("Back-off pulling image \"{image}\"");
    let message = format!("{short}: ErrImagePull: {}", trouble.message);
    container.trouble = Some(Trouble::new("ImagePullBackOff", message));
    Some(Action::Tell { container: name, reason: "BackOff", message: short })
}

/// Seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
