//! The execution context of every actor: what a handler may do besides changing its state.

use std::{
    any::{TypeId, type_name},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix::{
    Actor, ActorContext, ActorFuture, ActorState, Addr, AsyncContext, Handler, Message,
    SpawnHandle,
    dev::{AsyncContextParts, ContextFut, ContextParts, Mailbox, channel::AddressReceiver},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    address::ActorRef,
    attendant::{Attendant, Errand, Errands, Offloaded, Watched},
    cell::Cell,
    current::take_fallen,
    performer::Performer,
    spec::SupervisorSpec,
    supervisor::Supervisor,
    supervisor_ref::SupervisorRef,
};

/// Letters handled in one poll before others on the thread get their turn.
pub const MESSAGE_BUDGET: u32 = 64;
/// Timers, offloads and background tasks of one actor. One more is a bug that the supervisor
/// answers: the actor panics and starts over with none.
pub const MAX_TASKS: usize = 65_536;
/// Offloaded futures of one actor that run at once; the others wait their turn.
pub const MAX_OFFLOADS: usize = 1024;

/// Cancels a timer. Dropping it does not.
#[derive(Debug, Clone)]
pub struct TimerHandle(AbortHandle);

impl TimerHandle {
    /// The message will not be sent any more; one that was sent stays in the mailbox.
    pub fn cancel(&self) {
        self.0.abort();
    }
}

/// Execution context of every actor in this program.
pub struct Ctx<A: Performer> {
    parts: ContextParts<A>,
    me: ActorRef<A>,
    /// Boxed: a context must be `Unpin`, whatever its actor is made from.
    args: Box<A::Args>,
    budget: u32,
    pub(crate) errand_budget: u32,
    pub(crate) paused: bool,
    errands: mpsc::UnboundedSender<Errand<A>>,
    inspections: mpsc::UnboundedSender<tokio::sync::oneshot::Sender<serde_json::Value>>,
    tasks: JoinSet<()>,
    gate: Arc<Semaphore>,
    /// Set by `recreate`: whether `create` came back.
    pub(crate) recreated: Option<Result<(), super::current::Fallen>>,
}

impl<A: Performer> std::fmt::Debug for Ctx<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ctx({})", self.me.path())
    }
}

impl<A: Performer> Ctx<A> {
    /// The actor's future, ready to be polled.
    pub(crate) fn open(
        mailbox: AddressReceiver<A>,
        me: ActorRef<A>,
        args: A::Args,
        act: A,
    ) -> ContextFut<A, Self> {
        let mailbox = Mailbox::new(mailbox);
        let mut ctx = Self {
            parts: ContextParts::new(mailbox.sender_producer()),
            me,
            args: Box::new(args),
            budget: MESSAGE_BUDGET,
            errand_budget: MESSAGE_BUDGET,
            paused: false,
            errands: mpsc::unbounded_channel().0,
            inspections: mpsc::unbounded_channel().0,
            tasks: JoinSet::new(),
            gate: Arc::new(Semaphore::new(MAX_OFFLOADS)),
            recreated: None,
        };
        ctx.begin_life();
        ContextFut::new(ctx, act, mailbox)
    }

    /// Errands and tasks of an earlier life end here.
    pub(crate) fn begin_life(&mut self) {
        self.end_life();
        let (errands, done) = mpsc::unbounded_channel();
        let (inspections, looks) = mpsc::unbounded_channel();
        self.errands = errands;
        self.inspections = inspections;
        self.gate = Arc::new(Semaphore::new(MAX_OFFLOADS));
        self.parts.spawn(Attendant::new(Errands { done, looks }));
    }

    pub(crate) fn end_life(&mut self) {
        self.tasks = JoinSet::new();
    }

    pub(crate) fn inspect(&self, to: tokio::sync::oneshot::Sender<serde_json::Value>) {
        // Closed only when the actor is about to go; the asker sees its sender dropped.
        drop(self.inspections.send(to));
    }

    /// Before each poll.
    pub(crate) fn refill(&mut self) {
        self.budget = if self.paused { 0 } else { MESSAGE_BUDGET };
        self.errand_budget = self.budget;
    }

    pub(crate) fn spend(&mut self) {
        self.budget = self.budget.saturating_sub(1);
    }

    /// Whether the poll ended with work left.
    pub(crate) fn is_spent(&self) -> bool {
        !self.paused && (self.budget == 0 || self.errand_budget == 0)
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        self.me.cell()
    }

    /// Replaces the state by a fresh one. Only for [`crate::recreate_on_restart!`].
    pub fn recreate(&mut self, act: &mut A) {
        let made = catch_unwind(AssertUnwindSafe(|| <A as Performer>::create(&self.args)));
        self.recreated = Some(match made {
            Ok(fresh) => {
                let old = std::mem::replace(act, fresh);
                // Outside any unwinding: a Drop that panics on broken state must not abort.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(old))) {
                    let fallen = take_fallen(&*payload);
                    let at = fallen.location;
                    tracing::warn!(actor = self.me.path(), at, "old state panicked in drop");
                }
                Ok(())
            }
            Err(payload) => Err(take_fallen(&*payload)),
        });
    }

    /// Its own address.
    #[must_use]
    pub fn me(&self) -> ActorRef<A> {
        self.me.clone()
    }

    /// `/…/supervisor/id`
    #[must_use]
    pub fn path(&self) -> &str {
        self.me.path()
    }

    /// Which life this is, from 1.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.cell().incarnation.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Monotonic time; virtual in tests.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Wall-clock time; virtual in tests.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.cell().shared.wall()
    }

    /// Ends the actor after the running handler. A permanent child is then restarted, a transient
    /// or temporary one is not. Unread mail becomes dead letters.
    pub fn stop(&mut self) {
        self.parts.stop();
    }

    /// Sends itself a message once, after `delay`. Dropped on restart.
    pub fn after<M>(&mut self, delay: Duration, msg: M) -> TimerHandle
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let me = self.me();
        self.background(async move {
            tokio::time::sleep(delay).await;
            // Closed: the actor has ended and nobody waits for this.
            drop(me.tell_or_wait(msg).await);
        })
    }

    /// Sends itself a message every `period`, first after one period. The next tick waits until the
    /// last one was handled, so ticks never pile up. Dropped on restart.
    pub fn every<M>(&mut self, period: Duration, msg: M) -> TimerHandle
    where
        A: Handler<M>,
        M: Message + Clone + Send + 'static,
        M::Result: Send,
    {
        let me = self.me();
        self.background(async move {
            let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Ok(slot) = me.cell().slots.clone().acquire_owned().await else { return };
                // A tick that got no answer made the actor panic: this task is gone with it.
                drop(me.request(msg.clone(), slot).await);
            }
        })
    }

    /// Runs a future on the pool and brings its result back to this actor. Results of an earlier
    /// life never arrive. A panic in the future is the actor's panic.
    pub fn offload<F, T, D>(&mut self, work: F, done: D)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
        D: FnOnce(&mut A, T, &mut Ctx<A>) + Send + 'static,
    {
        let (gate, errands) = (self.gate.clone(), self.errands.clone());
        let cell = self.cell().clone();
        self.background(async move {
            let Ok(_turn) = gate.acquire_owned().await else { return };
            let result = work.await;
            let (id, name) = (TypeId::of::<Offloaded<T>>(), type_name::<Offloaded<T>>());
            let deed = Box::new(move |act: &mut A, ctx: &mut Self| done(act, result, ctx));
            if errands.send(Errand::Done(id, name, deed)).is_err() {
                cell.stale(name);
            }
        });
    }

    /// Runs blocking work (disk, processes, heavy CPU) on the blocking pool and brings its result
    /// back. It cannot be interrupted: on restart its result is dropped.
    pub fn offload_blocking<F, T, D>(&mut self, work: F, done: D)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
        D: FnOnce(&mut A, T, &mut Ctx<A>) + Send + 'static,
    {
        let task = async move {
            match tokio::task::spawn_blocking(work).await {
                Ok(result) => result,
                Err(e) => match e.try_into_panic() {
                    Ok(payload) => std::panic::resume_unwind(payload),
                    // Only at shutdown of the runtime, which drops this future as well.
                    Err(_) => std::future::pending().await,
                },
            }
        };
        self.offload(task, done);
    }

    /// Sends itself every item of a stream, waiting for room in the mailbox; ends with the stream.
    /// Dropped on restart.
    pub fn pump<S, M>(&mut self, stream: S) -> TimerHandle
    where
        S: futures_util::Stream<Item = M> + Send + 'static,
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let me = self.me();
        self.background(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(msg) = futures_util::StreamExt::next(&mut stream).await {
                if me.tell_or_wait(msg).await.is_err() {
                    return;
                }
            }
        })
    }

    /// Runs a future on the pool that lives no longer than this life of the actor. Its panic is the
    /// actor's panic.
    ///
    /// # Panics
    /// With more than [`MAX_TASKS`] tasks.
    pub fn background<F>(&mut self, work: F) -> TimerHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        assert!(self.tasks.len() < MAX_TASKS, "too many timers and offloads in one actor");
        let pool = self.cell().shared.pool.clone();
        let watched = Watched::new(self.cell().clone(), work);
        let errands = self.errands.clone();
        let task = async move {
            if let Err(fallen) = watched.await {
                drop(errands.send(Errand::Fallen(fallen)));
            }
        };
        TimerHandle(self.tasks.spawn_on(task, &pool))
    }

    /// Sends itself `msg` when another actor has ended (death watch). Dropped on restart.
    pub fn watch<B, M>(&mut self, other: &ActorRef<B>, msg: M) -> TimerHandle
    where
        B: Performer,
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let (me, ended) = (self.me(), other.cell().ended.clone());
        self.background(async move {
            ended.cancelled().await;
            drop(me.tell_or_wait(msg).await);
        })
    }

    /// The dynamic supervisor of the children under this actor. They are stopped when this actor
    /// stops or restarts; when they fail too often, this actor fails.
    pub fn children(&self) -> SupervisorRef {
        let cell = self.cell();
        let core = cell
            .children
            .get_or_init(|| Supervisor::under_actor(cell, SupervisorSpec::dynamic()))
            .clone();
        SupervisorRef::new(core)
    }
}

impl<A: Performer> ActorContext for Ctx<A> {
    fn stop(&mut self) {
        self.parts.stop();
    }

    fn terminate(&mut self) {
        self.parts.terminate();
    }

    fn state(&self) -> ActorState {
        self.parts.state()
    }
}

impl<A: Performer> AsyncContext<A> for Ctx<A>
where
    A: Actor<Context = Self>,
{
    fn address(&self) -> Addr<A> {
        self.parts.address()
    }

    fn spawn<F>(&mut self, fut: F) -> SpawnHandle
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.parts.spawn(fut)
    }

    fn wait<F>(&mut self, fut: F)
    where
        F: ActorFuture<A, Output = ()> + 'static,
    {
        self.parts.wait(fut);
    }

    fn waiting(&self) -> bool {
        // A spent budget reads as "waiting": the mailbox is left alone until the next poll.
        self.parts.waiting() || self.budget == 0
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.parts.cancel_future(handle)
    }
}

impl<A: Performer> AsyncContextParts<A> for Ctx<A> {
    fn parts(&mut self) -> &mut ContextParts<A> {
        &mut self.parts
    }
}
