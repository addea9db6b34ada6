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
};

use actix::dev::{AsyncContextParts, ContextFut, channel::AddressReceiver};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};

use super::{
    address::ActorRef,
    cell::{Cell, EndReason, State},
    control::{Command, Control},
    ctx::Ctx,
    current::{OnStage, take_fallen},
    performer::Performer,
    spec::Restart,
    supervisor::Decision,
};

pub(super) enum Body<A: Performer> {
    Unborn(AddressReceiver<A>),
    Alive(Box<ContextFut<A, Ctx<A>>>),
    Gone,
}

enum Phase {
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
    phase: Phase,
    pub(super) goal: Goal,
    pub(super) stop_sent: bool,
    /// Children under this actor being stopped.
    clearing: Option<oneshot::Receiver<()>>,
    /// Whoever waits to hear whether the launch went well.
    launched: Option<oneshot::Sender<bool>>,
    pub(super) paused: bool,
    /// Poll once although paused: somebody wants to look inside.
    look: bool,
    inject: Option<String>,
}

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
            look: false,
            inject: None,
        }
    }

    fn obey(&mut self, command: Command) {
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
                self.launched = ack;
                self.phase = Phase::Launch;
            }
            Command::Inspect(to) => {
                if let (true, Body::Alive(fut)) = (running, &mut self.body) {
                    fut.ctx().inspect(to);
                    self.look = true;
                }
            }
            Command::ChildrenFailed(why) if running => self.failed(Some(why)),
            Command::ChildrenFailed(_) => {}
        }
    }

    fn obey_user(&mut self, control: Control, running: bool) {
        match control {
            Control::Pause => self.paused = true,
            Control::Resume => self.paused = false,
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

    fn clear_children(&mut self) {
        let Some(children) = self.cell.children.get().cloned() else { return };
        let (tx, rx) = oneshot::channel();
        self.clearing = Some(rx);
        self.cell.shared.pool.spawn(async move {
            children.clear().await;
            let _ = tx.send(());
        });
    }

    fn cleared(&mut self, task: &mut Context<'_>) -> bool {
        let Some(rx) = &mut self.clearing else { return true };
        if Pin::new(rx).poll(task).is_pending() {
            return false;
        }
        self.clearing = None;
        true
    }

    fn halted(&mut self) {
        self.phase = Phase::Halted;
        self.cell.set_state(State::Halted);
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
        let inject = self.inject.take();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(text) = inject {
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
            Goal::Run => self.failed(None),
            goal => self.reached(goal),
        }
    }

    fn fell(&mut self, payload: &(dyn Any + Send)) {
        if let Body::Alive(fut) = &mut self.body {
            fut.ctx().end_life();
        }
        let text = self.cell.fell(take_fallen(payload));
        match mem::replace(&mut self.goal, Goal::Run) {
            Goal::Run => self.failed(Some(text)),
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
                self.cell.restarts.fetch_add(1, Ordering::Relaxed);
                self.phase = Phase::Launch;
            }
            Goal::End => self.end(EndReason::Stopped),
        }
    }

    /// Asks the supervisor what follows; `why` is None when the actor stopped itself.
    fn failed(&mut self, why: Option<String>) {
        let restart = match self.cell.spec.restart {
            Restart::Permanent => true,
            Restart::Transient => why.is_some(),
            Restart::Temporary => false,
        };
        self.clear_children();
        if !restart {
            return self.end(why.map_or(EndReason::Normal, EndReason::Panicked));
        }
        if let Some(ack) = self.launched.take() {
            let _ = ack.send(false);
            return self.halted();
        }
        self.cell.restarts.fetch_add(1, Ordering::Relaxed);
        let why = why.unwrap_or_else(|| "it stopped itself".to_owned());
        match self.cell.parent.upgrade().map(|p| p.child_failed(&self.cell, &why)) {
            Some(Decision::RestartAfter(delay)) => {
                self.cell.set_state(State::BackingOff);
                self.phase = Phase::BackOff(Box::pin(tokio::time::sleep(delay)));
            }
            Some(Decision::Wait) => self.halted(),
            None => self.end(EndReason::Killed),
        }
    }

    fn end(&mut self, reason: EndReason) {
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
        loop {
            match &mut this.phase {
                Phase::Launch => match this.launch() {
                    Ok(()) => this.phase = Phase::Run,
                    Err(fallen) => {
                        let text = this.cell.fell(fallen);
                        this.failed(Some(text));
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
