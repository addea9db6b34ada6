//! How a pod ends: containers stop, everything is removed, the API forgets it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{Action, Hook, Kind, Machine, Plan, Run, Step, StopOrder, later};
use crate::kubelet::pod_view::PodView;

impl Machine {
    pub(super) fn decide_ending(&mut self, now: Timestamp, plan: &mut Plan) {
        let deadline = self.ending_deadline(now);
        let grace = deadline.duration_since(now).as_secs().max(0);
        for name in self.next_to_stop() {
            let event = Some(format!("Stopping container {name}"));
            self.order_stop(&name, now, grace, event, plan);
        }
        let alive = self.containers.iter().any(|c| !c.is_dead());
        // A terminated pod that nobody deleted keeps its logs, hence its sandbox.
        if !alive && self.pod.deletion().is_some() {
            self.decide_removal(now, plan);
        }
    }

    /// The earliest of all deadlines this ending has had: a later deletion may only shorten it.
    fn ending_deadline(&mut self, now: Timestamp) -> Timestamp {
        let grace = match self.pod.deletion() {
            Some(_) => self.pod.grace_seconds(),
            None => self.own_grace(),
        };
        let fresh = later(now, grace);
        let deadline = self.kill_at.map_or(fresh, |earlier| earlier.min(fresh));
        self.kill_at = Some(deadline);
        deadline
    }

    /// Ordinary containers first, together; then sidecars one by one, the last one first.
    fn next_to_stop(&self) -> Vec<String> {
        let running = |c: &&super::Container| c.running().is_some();
        let ordinary: Vec<_> =
            self.containers.iter().filter(|c| c.kind != Kind::Sidecar && !c.is_dead()).collect();
        if !ordinary.is_empty() {
            return ordinary.into_iter().filter(running).map(|c| c.name.clone()).collect();
        }
        let last = self.containers.iter().rev().find(|c| !c.is_dead());
        last.filter(running).map(|c| c.name.clone()).into_iter().collect()
    }

    /// Orders a stop, unless one with the same or an earlier deadline is under way.
    pub(super) fn order_stop(
        &mut self,
        name: &str,
        now: Timestamp,
        grace: i64,
        event: Option<String>,
        plan: &mut Plan,
    ) {
        let has_hook = self
            .spec_of(name)
            .and_then(|c| c.lifecycle.as_ref())
            .is_some_and(|l| l.pre_stop.is_some());
        let Some(container) = self.container_mut(name) else { return };
        let Run::Running(running) = &mut container.run else { return };
        let deadline = later(now, grace);
        let first = running.stop.is_none();
        // One second of slack: a repeated decision must not look like a shorter grace.
        if running.stop.as_ref().is_some_and(|s| s.deadline <= later(deadline, 1)) {
            return;
        }
        running.stop = Some(StopOrder { deadline });
        plan.actions.push(Action::Stop {
            container: name.to_owned(),
            id: running.id.clone(),
            grace: Duration::from_secs(grace.unsigned_abs()),
            hook: first && has_hook && running.hook != Hook::Todo && grace > 0,
            event: event.filter(|_| first),
        });
    }

    fn decide_removal(&mut self, now: Timestamp, plan: &mut Plan) {
        match &self.sandbox {
            Step::Busy | Step::Removing => return,
            Step::Gone => {}
            Step::Failed { retry_at, .. } if *retry_at == Timestamp::MAX => return,
            Step::Failed { retry_at, .. } if *retry_at > now => {
                plan.wake_at(*retry_at);
                return;
            }
            Step::Todo | Step::Done | Step::Failed { .. } => {
                if self.volumes == Step::Busy {
                    return;
                }
                self.sandbox = Step::Removing;
                plan.actions.push(Action::Destroy);
                return;
            }
        }
        match &self.deletion {
            step if step.is_due(now) => {
                self.deletion = Step::Busy;
                plan.actions.push(Action::Delete);
            }
            Step::Failed { retry_at, .. } => plan.wake_at(*retry_at),
            _ => {}
        }
    }
}
