//! The one actor that runs a controller.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, Handler, Message};
use kabuki_api::kind::{CUSTOM_RESOURCE_DEFINITION, Kind};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    backend::Backend,
    command::{Note, Plan},
    controller::{Controller, Failure, Key, QUARANTINE},
    execute::{Halt, carry_out},
    queue::{Outcome, WorkQueue},
    watcher::{Feed, follow},
};
use crate::kernel::{Ctx, Performer, TimerHandle};

/// Decisions made in one go before others on the thread get their turn.
const MAX_DECISIONS: usize = 64;
/// Wait before the store is asked again whether earlier writes are settled: at first, at most.
const SETTLE_RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Characters of an error in the event about an object that is set aside.
const MAX_ERROR_TEXT: usize = 512;

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
    /// Whether it is being found out what became of writes without an answer: those of the life
    /// before at the start, later those that failed on the store. Nothing is decided meanwhile, or
    /// what such a write will bring would be done a second time.
    settling: bool,
    /// Writes without an answer so far.
    doubts: u64,
    /// The custom kinds that are followed, by topic.
    custom: HashMap<&'static str, (&'static Kind, TimerHandle)>,
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
        self.settle(ctx);
        let Some(registry) = self.backend.source().cloned() else { return };
        for kind in self.controller.watches() {
            self.awaited.insert(kind.topic());
            let me = ctx.me();
            ctx.background(follow(registry.clone(), kind, me));
        }
        self.follow_custom(ctx);
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
            settling: false,
            doubts: 0,
            custom: HashMap::new(),
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
            "settling": self.settling,
            "doubts": self.doubts,
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
        if feed.kind.custom.is_some() && !self.is_followed(feed.kind) {
            // It was on its way when the definition went.
            return;
        }
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
                // Whose key it would be is unknown, but for objects of its own kind.
                if self.controller.watches().first() == Some(&feed.kind) {
                    keys.push(Key::of(&change.object));
                }
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
        if feed.kind == CUSTOM_RESOURCE_DEFINITION {
            self.follow_custom(ctx);
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
    fn is_followed(&self, kind: &'static Kind) -> bool {
        self.custom.get(kind.topic()).is_some_and(|(known, _)| std::ptr::eq(*known, kind))
    }

    /// Follows the custom kinds there are now, and no others.
    fn follow_custom(&mut self, ctx: &mut Ctx<Self>) {
        let Some(registry) = self.backend.source().cloned() else { return };
        let wanted = self.controller.custom(self.backend.view());
        let gone: Vec<_> = self
            .custom
            .values()
            .map(|(kind, _)| *kind)
            .filter(|kind| !wanted.iter().any(|w| std::ptr::eq(*w, *kind)))
            .collect();
        for kind in gone {
            if let Some((_, task)) = self.custom.remove(kind.topic()) {
                task.cancel();
            }
            self.awaited.remove(kind.topic());
            self.controller.forget(kind);
        }
        for kind in wanted {
            if self.custom.contains_key(kind.topic()) {
                continue;
            }
            self.awaited.insert(kind.topic());
            let me = ctx.me();
            let task = ctx.background(follow(registry.clone(), kind, me));
            self.custom.insert(kind.topic(), (kind, task));
        }
    }

    fn resync(&mut self, now: Instant) {
        let mut keys = Vec::new();
        self.controller.resync(self.backend.view(), &mut keys);
        for key in keys {
            self.queue.add(key, now);
        }
    }

    /// Finds out what became of writes without an answer, then goes on.
    fn settle(&mut self, ctx: &mut Ctx<Self>) {
        if std::mem::replace(&mut self.settling, true) {
            return;
        }
        let (backend, covered) = (Arc::clone(&self.backend), self.doubts);
        let asking = async move {
            let (mut wait, longest) = SETTLE_RETRY;
            while let Err(status) = backend.settle().await {
                tracing::debug!(controller = C::NAME, %status, "earlier writes are not settled");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(longest);
            }
        };
        ctx.offload(asking, move |me, (), ctx| {
            me.settling = false;
            // A write that lost its answer meanwhile may have begun after the question.
            if me.doubts != covered {
                me.settle(ctx);
            }
            me.work(ctx);
        });
    }

    /// Decides as much as workers and fairness allow.
    fn work(&mut self, ctx: &mut Ctx<Self>) {
        if !self.awaited.is_empty() || self.settling {
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
            self.controller.reconcile(backend.view(), &key, ctx.wall().into())
        }));
        match decision {
            Ok(Ok(plan)) if plan.stages.is_empty() => {
                self.queue.finish(key, Outcome::Done(plan.requeue), ctx.now());
            }
            Ok(Ok(plan)) => self.start(key, plan, ctx),
            Ok(Err(error)) => self.fail(key, Outcome::Failed(error.to_string()), ctx.now()),
            Err(payload) => {
                self.fail(key, Outcome::Panicked(panic_text(&*payload)), ctx.now());
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
                Err(Halt::Unreachable(error)) => {
                    me.doubts += 1;
                    me.queue.finish(key, Outcome::Unreachable(error), ctx.now());
                    me.settle(ctx);
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
            self.controller.refused(backend.view(), &key, ctx.wall().into(), failure)
        }));
        let error = format!("{}: {}", failure.what, failure.status);
        match answer {
            Ok(plan) if !plan.stages.is_empty() => {
                self.running += 1;
                let run = carry_out(Arc::clone(&self.backend), C::NAME, plan);
                ctx.offload(run, move |me, best_effort, ctx| {
                    me.running = me.running.saturating_sub(1);
                    me.fail(key, Outcome::Failed(error), ctx.now());
                    if let Err(Halt::Unreachable(_)) = best_effort {
                        me.doubts += 1;
                        me.settle(ctx);
                    }
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
        if self.queue.finish(key.clone(), outcome, now) {
            self.tell_set_aside(&key, &text);
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

    /// Says on the object itself that nothing will be done for it for a while.
    fn tell_set_aside(&self, key: &Key, error: &str) {
        let backend = Arc::clone(&self.backend);
        let subject =
            catch_unwind(AssertUnwindSafe(|| self.controller.subject(backend.view(), key)));
        if let Ok(Some(on)) = subject {
            let error: String = error.chars().take(MAX_ERROR_TEXT).collect();
            let text = format!(
                "{} fails on it again and again and leaves it alone for {} s, last: {error}",
                C::NAME,
                QUARANTINE.as_secs()
            );
            backend.record(C::NAME, Note::warning(on, "SetAside", text));
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
