//! The one actor that runs a controller.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use actix::{Actor, Handler, Message};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    backend::Backend,
    command::Plan,
    controller::{Controller, Failure, Key},
    execute::{Halt, carry_out},
    queue::{Outcome, WorkQueue},
    watcher::{Feed, follow},
};
use crate::{
    controllers::model::Time,
    kernel::{Ctx, Performer, TimerHandle},
};

/// Decisions made in one go before others on the thread get their turn.
const MAX_DECISIONS: usize = 64;

/// What a reconciler is made from.
#[derive(Clone)]
pub(crate) struct ReconcilerArgs<C> {
    pub controller: C,
    pub backend: Arc<dyn Backend>,
}

/// A delayed key may be due, or there was more to do than fits one go.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Wake;

/// Feeds one controller and carries out what it decides.
pub(crate) struct Reconciler<C: Controller> {
    controller: C,
    backend: Arc<dyn Backend>,
    queue: WorkQueue,
    /// Kinds whose state has not arrived yet. Nothing is decided before it has.
    awaited: HashSet<&'static str>,
    running: usize,
    alarm: Option<(Instant, TimerHandle)>,
    decisions: u64,
    conflicts: u64,
    refused: u64,
}

impl<C: Controller> Actor for Reconciler<C> {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        for key in self.controller.initial() {
            self.queue.add(key, ctx.now());
        }
        let Some(registry) = self.backend.source().cloned() else { return };
        for kind in self.controller.watches() {
            self.awaited.insert(kind.topic());
            let me = ctx.me();
            ctx.background(follow(registry.clone(), kind, me));
        }
    }
}

impl<C: Controller> actix::Supervised for Reconciler<C> {
    fn restarting(&mut self, ctx: &mut Ctx<Self>) {
        ctx.recreate(self);
    }
}

impl<C: Controller> Performer for Reconciler<C> {
    type Args = ReconcilerArgs<C>;

    fn create(args: &Self::Args) -> Self {
        Self {
            controller: args.controller.clone(),
            backend: Arc::clone(&args.backend),
            queue: WorkQueue::default(),
            awaited: HashSet::new(),
            running: 0,
            alarm: None,
            decisions: 0,
            conflicts: 0,
            refused: 0,
        }
    }

    fn inspect(&self) -> Value {
        json!({
            "controller": C::NAME,
            "queue": self.queue.inspect(),
            "carryingOut": self.running,
            "awaited": self.awaited,
            "decisions": self.decisions,
            "conflicts": self.conflicts,
            "refused": self.refused,
        })
    }
}

impl<C: Controller> Handler<Feed> for Reconciler<C> {
    type Result = ();

    fn handle(&mut self, feed: Feed, ctx: &mut Ctx<Self>) {
        let backend = Arc::clone(&self.backend);
        let now = ctx.now();
        let synced = self.awaited.is_empty();
        if feed.begins {
            self.controller.forget(feed.kind);
        }
        let mut keys = Vec::new();
        for change in &feed.changes {
            let found = catch_unwind(AssertUnwindSafe(|| match feed.state {
                true => self.controller.keys_at_start(backend.view(), change, &mut keys),
                false => self.controller.keys(backend.view(), change, &mut keys),
            }));
            if found.is_err() {
                // Whose key it would be is unknown; the object will be met again in a decision.
                tracing::error!(controller = C::NAME, object = ?change.object,
                    "a change could not be read; inspect the object");
            }
        }
        for key in keys {
            self.queue.add(key, now);
        }
        if feed.ends {
            self.awaited.remove(feed.kind.topic());
            if synced {
                // History was lost, removals with it: look at everything again.
                self.resync(now);
            }
        }
        self.work(ctx);
    }
}

impl<C: Controller> Handler<Wake> for Reconciler<C> {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Ctx<Self>) {
        if self.alarm.as_ref().is_some_and(|(at, _)| *at <= ctx.now()) {
            self.alarm = None;
        }
        self.work(ctx);
    }
}

impl<C: Controller> Reconciler<C> {
    fn resync(&mut self, now: Instant) {
        for key in self.controller.initial() {
            self.queue.add(key, now);
        }
        if let Some(own) = self.controller.watches().first() {
            for object in self.backend.view().list(own, None) {
                self.queue.add(Key::of(&object), now);
            }
        }
    }

    /// Decides as much as workers and fairness allow.
    fn work(&mut self, ctx: &mut Ctx<Self>) {
        if !self.awaited.is_empty() {
            return;
        }
        for _ in 0..MAX_DECISIONS {
            if self.running >= C::WORKERS {
                // The next one to finish looks again; an alarm now could only spin.
                return;
            }
            let Some(key) = self.queue.take(ctx.now()) else { break };
            self.decide(key, ctx);
        }
        if self.queue.has_ready() {
            // Our own mailbox being full means that we will be woken anyway.
            drop(ctx.me().tell(Wake));
        }
        self.set_alarm(ctx);
    }

    fn decide(&mut self, key: Key, ctx: &mut Ctx<Self>) {
        self.decisions += 1;
        let backend = Arc::clone(&self.backend);
        let decision = catch_unwind(AssertUnwindSafe(|| {
            self.controller.reconcile(backend.view(), &key, Time::now())
        }));
        match decision {
            Ok(Ok(plan)) if plan.stages.is_empty() => {
                self.queue.finish(key, Outcome::Done(plan.requeue), ctx.now());
            }
            Ok(Ok(plan)) => self.start(key, plan, ctx),
            Ok(Err(error)) => self.fail(key, Outcome::Failed(error.to_string()), ctx.now()),
            Err(payload) => {
                let text = panic_text(&*payload);
                self.fail(key, Outcome::Panicked(text), ctx.now());
            }
        }
    }

    fn start(&mut self, key: Key, plan: Plan, ctx: &mut Ctx<Self>) {
        self.running += 1;
        let requeue = plan.requeue;
        let run = carry_out(Arc::clone(&self.backend), C::NAME, plan);
        ctx.offload(run, move |me, result, ctx| {
            me.running = me.running.saturating_sub(1);
            match result {
                Ok(()) => drop(me.queue.finish(key, Outcome::Done(requeue), ctx.now())),
                Err(Halt::Conflict) => {
                    me.conflicts += 1;
                    me.queue.finish(key, Outcome::Conflict, ctx.now());
                }
                Err(Halt::Refused(failure)) => me.refuse(key, &failure, ctx),
            }
            me.work(ctx);
        });
    }

    /// Lets the controller say something about a refusal, then tries the key again later.
    fn refuse(&mut self, key: Key, failure: &Failure, ctx: &mut Ctx<Self>) {
        self.refused += 1;
        let backend = Arc::clone(&self.backend);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            self.controller.refused(backend.view(), &key, Time::now(), failure)
        }));
        let error = format!("{}: {}", failure.what, failure.status);
        match answer {
            Ok(plan) if !plan.stages.is_empty() => {
                self.running += 1;
                let run = carry_out(Arc::clone(&self.backend), C::NAME, plan);
                ctx.offload(run, move |me, _best_effort, ctx| {
                    me.running = me.running.saturating_sub(1);
                    me.fail(key, Outcome::Failed(error), ctx.now());
                    me.work(ctx);
                });
            }
            _ => self.fail(key, Outcome::Failed(error), ctx.now()),
        }
    }

    fn fail(&mut self, key: Key, outcome: Outcome, now: Instant) {
        let (Outcome::Failed(text) | Outcome::Panicked(text)) = &outcome else { return };
        let (text, panicked) = (text.clone(), matches!(outcome, Outcome::Panicked(_)));
        let name = key.to_string();
        if self.queue.finish(key, outcome, now) {
            tracing::error!(
                controller = C::NAME,
                key = name,
                error = text,
                "an object keeps failing and is set aside for a while; correct or delete it"
            );
        } else if panicked {
            tracing::error!(controller = C::NAME, key = name, error = text, "a decision panicked");
        } else {
            tracing::debug!(controller = C::NAME, key = name, error = text, "will try again");
        }
    }

    fn set_alarm(&mut self, ctx: &mut Ctx<Self>) {
        let Some(due) = self.queue.next_due() else { return };
        match &self.alarm {
            Some((at, _)) if *at <= due => return,
            Some((_, timer)) => timer.cancel(),
            None => {}
        }
        let timer = ctx.after(due.saturating_duration_since(ctx.now()), Wake);
        self.alarm = Some((due, timer));
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned())
}
