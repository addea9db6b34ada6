//! How one speaks to an actor: typed, bounded, counted, from any thread.

use std::{any::type_name, fmt, sync::Arc, sync::atomic::Ordering, time::Duration};

use actix::{Handler, Message, dev::channel::AddressSender};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

use super::{
    cell::{Cell, EndReason, State},
    control::{Command, Control},
    current::current_path,
    dead_letter::{Burial, DeadReason},
    error::{AskError, KernelError, SendError},
    letter::{Stamp, put_stamp, take_stamp},
    performer::Performer,
    waits::{WaitKind, waiting},
};

struct Inner<A: Performer> {
    address: AddressSender<A>,
    cell: Arc<Cell>,
}

/// The address of an actor. It stays valid over restarts and is closed once the actor has ended.
/// Cheap to clone; holding one keeps no actor alive.
pub struct ActorRef<A: Performer> {
    inner: Arc<Inner<A>>,
}

impl<A: Performer> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<A: Performer> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef({})", self.path())
    }
}

impl<A: Performer> ActorRef<A> {
    pub(crate) fn new(address: AddressSender<A>, cell: Arc<Cell>) -> Self {
        Self { inner: Arc::new(Inner { address, cell }) }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.inner.cell
    }

    /// `/…/supervisor/id`
    #[must_use]
    pub fn path(&self) -> &str {
        &self.inner.cell.path
    }

    /// What it is doing now.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.cell.state()
    }

    /// Whether it can still get mail.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.inner.cell.end.get().is_none()
    }

    /// Puts a message into the mailbox, or gives it back.
    ///
    /// # Errors
    /// `Full` when the mailbox holds `A::MAILBOX` letters, `Closed` when the actor has ended.
    pub fn tell<M>(&self, msg: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match self.inner.cell.slots.clone().try_acquire_owned() {
            Ok(permit) => self.post(msg, permit, None),
            Err(TryAcquireError::NoPermits) => {
                self.refused::<M>();
                Err(SendError::Full(msg))
            }
            Err(TryAcquireError::Closed) => {
                self.dead::<M>(DeadReason::Closed);
                Err(SendError::Closed(msg))
            }
        }
    }

    /// Waits for a place in the mailbox; those who wait are served in order.
    ///
    /// # Errors
    /// `Closed` when the actor has ended.
    pub async fn tell_or_wait<M>(&self, msg: M) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let cell = &self.inner.cell;
        let permit = match cell.slots.clone().try_acquire_owned() {
            Err(TryAcquireError::NoPermits) => {
                let _waiting = waiting(&cell.path, WaitKind::Room, type_name::<M>());
                cell.slots.clone().acquire_owned().await.ok()
            }
            taken => taken.ok(),
        };
        match permit {
            Some(permit) => self.post(msg, permit, None),
            None => {
                self.dead::<M>(DeadReason::Closed);
                Err(SendError::Closed(msg))
            }
        }
    }

    /// Asks and waits for the answer, at most `timeout` in all.
    ///
    /// A question whose asker has stopped waiting is skipped when its turn comes, so commands that
    /// must happen are told, not asked.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask<M>(&self, msg: M, timeout: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let deadline = tokio::time::Instant::now() + timeout;
        let _waiting = waiting(&self.inner.cell.path, WaitKind::Ask, type_name::<M>());
        let slot = self.inner.cell.slots.clone().acquire_owned();
        let permit = match tokio::time::timeout_at(deadline, slot).await {
            Err(_) => {
                self.refused::<M>();
                return Err(AskError::Full);
            }
            Ok(Err(_)) => {
                self.dead::<M>(DeadReason::Closed);
                return Err(AskError::Closed);
            }
            Ok(Ok(permit)) => permit,
        };
        match tokio::time::timeout_at(deadline, self.request(msg, permit)).await {
            Err(_) => Err(AskError::Timeout),
            Ok(answer) => answer,
        }
    }

    /// Asks without a deadline: for callers that must not overlap with the handling.
    pub(crate) async fn request<M>(
        &self,
        msg: M,
        permit: OwnedSemaphorePermit,
    ) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let cell = &self.inner.cell;
        let panics = cell.panics_begun.load(Ordering::SeqCst);
        let life = cell.incarnation.load(Ordering::SeqCst);
        let (tx, rx) = oneshot::channel::<M::Result>();
        self.post(msg, permit, Some(tx)).map_err(|_| AskError::Closed)?;
        rx.await.map_err(|_| {
            if cell.panics_begun.load(Ordering::SeqCst) != panics {
                AskError::Panicked
            } else if cell.end.get().is_some() || cell.state() == State::Stopping {
                AskError::Closed
            } else if (life != 0 && cell.incarnation.load(Ordering::SeqCst) != life)
                || cell.state() != State::Running
            {
                AskError::Restarting
            } else {
                // A detached response future was dropped unanswered: only a panic does that.
                AskError::Panicked
            }
        })
    }

    fn post<M>(
        &self,
        msg: M,
        permit: OwnedSemaphorePermit,
        reply: Option<oneshot::Sender<M::Result>>,
    ) -> Result<(), SendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let cell = &self.inner.cell;
        let reply = reply.map(|tx| Box::new(tx) as Box<dyn std::any::Any + Send>);
        put_stamp(Stamp { cell: cell.clone(), permit, reply });
        cell.trace_out(type_name::<M>());
        let sent = self.inner.address.do_send(msg);
        drop(take_stamp());
        cell.note_depth();
        sent.map_err(|e| {
            self.dead::<M>(DeadReason::Closed);
            SendError::Closed(e.into_inner())
        })
    }

    fn dead<M>(&self, reason: DeadReason) {
        let cell = &self.inner.cell;
        cell.shared.dead.record(&Burial {
            message: type_name::<M>(),
            from: current_path().as_ref(),
            to: &cell.path,
            reason,
            age: Duration::ZERO,
            identity: "",
            panic: None,
        });
    }

    /// The mailbox had no place for a letter: its sender is told, and it is counted.
    fn refused<M>(&self) {
        self.inner.cell.refused.fetch_add(1, Ordering::Relaxed);
        self.dead::<M>(DeadReason::Full);
    }

    /// An address that knows the message type only.
    #[must_use]
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let (tell, wait) = (self.clone(), self.clone());
        Recipient {
            path: self.inner.cell.path.clone(),
            tell: Arc::new(move |m| tell.tell(m)),
            wait: Arc::new(move |m| {
                let to = wait.clone();
                Box::pin(async move { to.tell_or_wait(m).await })
            }),
        }
    }

    /// Asks it to stop in order; it is not restarted. Returns at once.
    pub fn stop(&self) {
        self.inner.cell.command(Command::User(Control::Stop));
    }

    /// Makes it panic, as a drill.
    pub fn crash(&self) {
        let text = "panic injected by crash()".to_owned();
        self.inner.cell.command(Command::User(Control::InjectPanic(text)));
    }

    /// Gives it an order through the control lane.
    ///
    /// # Errors
    /// `Busy` when too many orders wait, `NotFound` when it has ended.
    pub fn control(&self, control: Control) -> Result<(), KernelError> {
        self.inner.cell.order(control)
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> EndReason {
        self.inner.cell.ended.cancelled().await;
        self.inner.cell.end.get().cloned().unwrap_or(EndReason::Killed)
    }
}

type Waiting<M> =
    std::pin::Pin<Box<dyn std::future::Future<Output = Result<(), SendError<M>>> + Send>>;

/// An address that knows one message type and not the actor behind it.
pub struct Recipient<M> {
    path: Arc<str>,
    tell: Arc<dyn Fn(M) -> Result<(), SendError<M>> + Send + Sync>,
    wait: Arc<dyn Fn(M) -> Waiting<M> + Send + Sync>,
}

impl<M> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), tell: self.tell.clone(), wait: self.wait.clone() }
    }
}

impl<M> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.path)
    }
}

impl<M> Recipient<M> {
    /// Path of the actor behind it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// See [`ActorRef::tell`].
    ///
    /// # Errors
    /// As there.
    pub fn tell(&self, msg: M) -> Result<(), SendError<M>> {
        (self.tell)(msg)
    }

    /// See [`ActorRef::tell_or_wait`].
    ///
    /// # Errors
    /// As there.
    pub async fn tell_or_wait(&self, msg: M) -> Result<(), SendError<M>> {
        (self.wait)(msg).await
    }
}
