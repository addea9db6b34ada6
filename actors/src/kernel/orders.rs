//! How an actor obeys its control lane.

use std::{pin::Pin, task::Context, time::Duration};

use tokio::sync::oneshot;

use super::{
    cell::{EndReason, State},
    control::{Command, Control, MAX_PAUSE, PAUSE_TIME},
    fall::Failure,
    performer::Performer,
    record::RestartReason,
    stage::{Body, Goal, Phase, Stage},
};

impl<A: Performer> Stage<A> {
    pub(super) fn obey(&mut self, command: Command) {
        let running = matches!(self.phase, Phase::Run);
        match command {
            Command::User(control) => self.obey_user(control, running),
            Command::Halt(ack) if running => self.leave(Goal::Halt(ack)),
            Command::Halt(ack) => {
                self.halted();
                // The supervisor may have given up waiting.
                let _ = ack.send(());
            }
            Command::Launch(ack) if running => {
                if let Some(ack) = ack {
                    let _ = ack.send(true);
                }
            }
            Command::Launch(ack) => {
                if !std::mem::take(&mut self.noted) {
                    let why = "with its siblings";
                    self.cell.note_restart(RestartReason::Group, why, Duration::ZERO);
                }
                self.launched = ack;
                self.phase = Phase::Launch;
            }
            Command::Inspect(to) => {
                if let (true, Body::Alive(fut)) = (running, &mut self.body) {
                    fut.ctx().inspect(to);
                    self.look = true;
                }
            }
            Command::ChildrenFailed(why) if running => {
                let reason = RestartReason::ChildrenFailed;
                self.failed(Failure { reason, why, identified: false });
            }
            Command::ChildrenFailed(_) => {}
        }
    }

    fn obey_user(&mut self, control: Control, running: bool) {
        match control {
            Control::Pause => self.pause(PAUSE_TIME),
            Control::PauseFor(time) => self.pause(time.min(MAX_PAUSE)),
            Control::Resume => self.resume(),
            Control::Restart if running => self.leave(Goal::Relaunch),
            Control::Restart => {
                if matches!(self.phase, Phase::BackOff(_)) {
                    self.phase = Phase::Launch;
                }
            }
            Control::Stop if running => self.leave(Goal::End),
            Control::Stop => self.end(EndReason::Stopped),
            Control::Kill => self.end(EndReason::Killed),
            Control::InjectPanic(text) => self.inject = Some(text),
        }
        if matches!(self.phase, Phase::Run) && matches!(self.goal, Goal::Run) {
            self.cell.set_state(if self.paused { State::Paused } else { State::Running });
        }
    }

    fn pause(&mut self, time: Duration) {
        self.paused = true;
        let sleep = tokio::time::sleep(time);
        *self.cell.wakes_at.lock() = Some(sleep.deadline());
        self.resume_at = Some(Box::pin(sleep));
    }

    fn resume(&mut self) {
        self.paused = false;
        self.resume_at = None;
    }

    /// Ends a pause whose time is over.
    pub(super) fn pause_over(&mut self, task: &mut Context<'_>) {
        let Some(sleep) = &mut self.resume_at else { return };
        if sleep.as_mut().poll(task).is_ready() {
            tracing::info!(actor = %self.cell.path, "the pause is over");
            self.obey_user(Control::Resume, matches!(self.phase, Phase::Run));
        }
    }

    /// Ends the running life in order: children first, then the actor.
    fn leave(&mut self, goal: Goal) {
        if matches!(self.goal, Goal::Run) {
            self.clear_children();
        }
        // An order to end is not undone by a later order to restart.
        if !matches!(self.goal, Goal::End) {
            self.goal = goal;
        } else if let Goal::Halt(ack) = goal {
            let _ = ack.send(());
        }
        self.cell.set_state(State::Stopping);
    }

    pub(super) fn clear_children(&mut self) {
        let Some(children) = self.cell.children.get().cloned() else { return };
        let (tx, rx) = oneshot::channel();
        self.clearing = Some(rx);
        self.cell.shared.pool.spawn(async move {
            children.clear().await;
            let _ = tx.send(());
        });
    }

    pub(super) fn cleared(&mut self, task: &mut Context<'_>) -> bool {
        let Some(rx) = &mut self.clearing else { return true };
        if Pin::new(rx).poll(task).is_pending() {
            return false;
        }
        self.clearing = None;
        true
    }

    pub(super) fn halted(&mut self) {
        self.phase = Phase::Halted;
        self.cell.set_state(State::Halted);
    }
}
