//! The supervising future of one actor: polls it inside `catch_unwind`, obeys the control lane
//! first, and owns restart, back-off, pause and end.
//!
//! actix's own `Supervisor` does none of this: a panic there kills the address.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use actix::dev::{AsyncContextParts, ContextFut, channel::AddressReceiver};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};

use super::{
    address::ActorRef,
    cell::{Cell, EndReason, State},
    control::Command,
    ctx::Ctx,
    current::{OnStage, take_fallen},
    fall::{Failure, Handling},
    performer::Performer,
    record::RestartReason,
    spec::{Blame, Restart},
    supervisor::Decision,
};

pub(super) enum Body<A: Performer> {
    Unborn(AddressReceiver<A>),
    Alive(Box<ContextFut<A, Ctx<A>>>),
    Gone,
}

pub(super) enum Phase {
    Launch,
    Run,
    BackOff(Pin<Box<Sleep>>),
    Halted,
    Gone,
}

/// What to do once the running life is over.
pub(super) enum Goal {
    Run,
    Halt(oneshot::Sender<()>),
    Relaunch,
    End,
}

pub(crate) struct Stage<A: Performer> {
    pub(super) cell: Arc<Cell>,
    pub(super) me: ActorRef<A>,
    pub(super) args: A::Args,
    pub(super) body: Body<A>,
    orders: mpsc::UnboundedReceiver<Command>,
    pub(super) phase: Phase,
    pub(super) goal: Goal,
    pub(super) stop_sent: bool,
    /// Children under this actor being stopped.
    pub(super) clearing: Option<oneshot::Receiver<()>>,
    /// Whoever waits to hear whether the launch went well.
    pub(super) launched: Option<oneshot::Sender<bool>>,
    pub(super) paused: bool,
    /// When a pause ends by itself.
    pub(super) resume_at: Option<Pin<Box<Sleep>>>,
    /// Poll once although paused: somebody wants to look inside.
    pub(super) look: bool,
    pub(super) inject: Option<String>,
    /// The life has not been polled yet: a panic means that it did not start.
    pub(super) fresh: bool,
    /// The reason of the next `Launch` has been written down.
    pub(super) noted: bool,
}

/// Message type under which an injected panic is counted.
pub(crate) struct PanicOrder;

impl<A: Performer> Stage<A> {
    pub(crate) fn new(
        me: ActorRef<A>,
        args: A::Args,
        mailbox: AddressReceiver<A>,
        orders: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            cell: me.cell().clone(),
            me,
            args,
            body: Body::Unborn(mailbox),
            orders,
            phase: Phase::Launch,
            goal: Goal::Run,
            stop_sent: false,
            clearing: None,
            launched: None,
            paused: false,
            resume_at: None,
            look: false,
            inject: None,
            fresh: true,
            noted: false,
        }
    }

    /// One poll of the running life. False: nothing more to do now.
    fn perform(&mut self, task: &mut Context<'_>) -> bool {
        let leaving = !matches!(self.goal, Goal::Run);
        let stop_now = leaving && !self.stop_sent && self.cleared(task);
        let idle = self.paused && !leaving && !self.look && self.inject.is_none();
        let Body::Alive(fut) = &mut self.body else { return false };
        if idle {
            return false;
        }
        self.look = false;
        let ctx = fut.ctx();
        ctx.paused = self.paused && !leaving;
        ctx.refill();
        if stop_now {
            ctx.parts().stop();
            self.stop_sent = true;
        }
        let (inject, cell) = (self.inject.take(), &self.cell);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(text) = inject {
                let name = std::any::type_name::<PanicOrder>();
                cell.begin(Handling::own(name, std::time::Instant::now()));
                std::panic::panic_any(text);
            }
            Pin::new(&mut **fut).poll(task)
        }));
        match polled {
            Ok(Poll::Pending) if self.stop_sent => {
                // `stopping` asked to go on, but the order stands.
                fut.ctx().parts().terminate();
                true
            }
            Ok(Poll::Pending) => {
                self.fresh = false;
                if let Some(ack) = self.launched.take() {
                    let _ = ack.send(true);
                }
                if fut.ctx().is_spent() {
                    self.cell.exhausted.fetch_add(1, Ordering::Relaxed);
                    task.waker().wake_by_ref();
                }
                false
            }
            Ok(Poll::Ready(())) => {
                self.left();
                true
            }
            Err(payload) => {
                self.fell(&*payload);
                true
            }
        }
    }

    /// The life ended without a panic.
    fn left(&mut self) {
        if let Body::Alive(fut) = &mut self.body {
            fut.ctx().end_life();
        }
        match mem::replace(&mut self.goal, Goal::Run) {
            Goal::Run => {
                let why = "it stopped itself".to_owned();
                self.failed(Failure {
                    reason: RestartReason::StoppedItself,
                    why,
                    identified: false,
                });
            }
            goal => self.reached(goal),
        }
    }

    fn fell(&mut self, payload: &(dyn Any + Send)) {
        if let Body::Alive(fut) = &mut self.body {
            fut.ctx().end_life();
        }
        let failure = self.cell.fell(take_fallen(payload), self.fresh);
        match mem::replace(&mut self.goal, Goal::Run) {
            Goal::Run => self.failed(failure),
            goal => self.reached(goal),
        }
    }

    fn reached(&mut self, goal: Goal) {
        match goal {
            Goal::Run => {}
            Goal::Halt(ack) => {
                self.halted();
                let _ = ack.send(());
            }
            Goal::Relaunch => {
                self.cell.note_restart(RestartReason::Ordered, "", Duration::ZERO);
                self.phase = Phase::Launch;
            }
            Goal::End => self.end(EndReason::Stopped),
        }
    }

    /// Asks the supervisor what follows.
    pub(super) fn failed(&mut self, failure: Failure) {
        let Failure { reason, why, identified } = failure;
        let on_purpose = reason == RestartReason::StoppedItself;
        let restart = match self.cell.spec.restart {
            Restart::Permanent => true,
            Restart::Transient => !on_purpose,
            Restart::Temporary => false,
        };
        self.clear_children();
        if !restart {
            let end = if on_purpose { EndReason::Normal } else { EndReason::Panicked(why) };
            return self.end(end);
        }
        self.noted = true;
        if let Some(ack) = self.launched.take() {
            self.cell.note_restart(reason, &why, Duration::ZERO);
            let _ = ack.send(false);
            return self.halted();
        }
        let Some(parent) = self.cell.parent.upgrade() else { return self.end(EndReason::Killed) };
        let blame = match reason {
            RestartReason::Poison if identified => Blame::Nobody,
            RestartReason::ChildrenFailed => Blame::Group,
            _ => Blame::Child(self.cell.seq),
        };
        let (seq, path, backoff) = (self.cell.seq, &self.cell.path, self.cell.next_backoff());
        match parent.decide(seq, path, backoff, (blame, &why)) {
            Decision::RestartAfter(delay) => {
                self.cell.note_restart(reason, &why, delay);
                self.cell.set_state(State::BackingOff);
                self.phase = Phase::BackOff(Box::pin(tokio::time::sleep(delay)));
            }
            Decision::Wait => {
                self.cell.note_restart(reason, &why, Duration::ZERO);
                self.halted();
            }
        }
    }

    pub(super) fn end(&mut self, reason: EndReason) {
        if matches!(self.phase, Phase::Gone) {
            return;
        }
        self.phase = Phase::Gone;
        if let Some(children) = self.cell.children.get().cloned() {
            self.cell.shared.pool.spawn(async move { children.stop().await });
        }
        self.cell.finish(reason);
        self.orders.close();
        let mut body = mem::replace(&mut self.body, Body::Gone);
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            if let Body::Alive(fut) = &mut body {
                // Without this, dropping polls once more and runs `stopped` on a broken state.
                fut.ctx().parts().terminate();
            }
            drop(body);
        }));
        if let Err(payload) = dropped {
            let fallen = take_fallen(&*payload);
            let at = fallen.location;
            tracing::warn!(actor = %self.cell.path, at, "state panicked in drop");
        }
        self.cell.shared.registry.lock().remove(&self.cell.path);
        if let Some(parent) = self.cell.parent.upgrade() {
            parent.child_ended(self.cell.seq);
        }
    }
}

impl<A: Performer> Unpin for Stage<A> {}

impl<A: Performer> Future for Stage<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = this.cell.shared.clone();
        // tokio::spawn inside an actor lands on the pool, not on the arbiter's own runtime.
        let _pool = shared.pool.enter();
        let _stage = OnStage::enter(&this.cell);
        if let Some(reason) = this.cell.end.get().cloned() {
            this.end(reason);
        }
        while let Poll::Ready(Some(command)) = this.orders.poll_recv(task) {
            this.cell.command_taken();
            this.obey(command);
        }
        this.pause_over(task);
        loop {
            match &mut this.phase {
                Phase::Launch => match this.launch() {
                    Ok(()) => this.phase = Phase::Run,
                    Err(fallen) => {
                        let failure = this.cell.fell(fallen, true);
                        this.failed(failure);
                    }
                },
                Phase::BackOff(sleep) => {
                    if sleep.as_mut().poll(task).is_pending() || !this.cleared(task) {
                        return Poll::Pending;
                    }
                    this.phase = Phase::Launch;
                }
                Phase::Run => {
                    if !this.perform(task) {
                        return Poll::Pending;
                    }
                }
                Phase::Halted => return Poll::Pending,
                Phase::Gone => return Poll::Ready(()),
            }
        }
    }
}

impl<A: Performer> Drop for Stage<A> {
    fn drop(&mut self) {
        // The arbiter went away under it.
        self.end(EndReason::Killed);
    }
}
