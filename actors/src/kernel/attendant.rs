//! The one future every actor carries: brings results of offloaded work to it and looks into it.

use std::{
    any::TypeId,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix::ActorFuture;
use tokio::sync::{mpsc, oneshot};

use super::{
    cell::Cell,
    ctx::Ctx,
    current::{Fallen, OnStage, take_fallen},
    fall::Handling,
    performer::Performer,
};

/// Largest state an inspection returns, bytes of JSON.
pub const MAX_INSPECT: usize = 64 * 1024;

type Deed<A> = Box<dyn FnOnce(&mut A, &mut Ctx<A>) + Send>;

/// Something to be done inside the actor that is not a letter.
pub(crate) enum Errand<A: Performer> {
    /// Counted under this type.
    Done(TypeId, &'static str, Deed<A>),
    Fallen(Fallen),
}

pub(crate) struct Errands<A: Performer> {
    pub done: mpsc::UnboundedReceiver<Errand<A>>,
    pub looks: mpsc::UnboundedReceiver<oneshot::Sender<serde_json::Value>>,
}

pub(crate) struct Attendant<A: Performer> {
    errands: Errands<A>,
}

/// The panic of offloaded work, carried into the actor it belongs to.
pub(crate) struct Carried(pub Fallen);

/// Message type under which results of offloaded work are counted.
pub(crate) struct Offloaded<T>(std::marker::PhantomData<T>);

impl<A: Performer> Attendant<A> {
    pub(crate) fn new(errands: Errands<A>) -> Self {
        Self { errands }
    }
}

impl<A: Performer> ActorFuture<A> for Attendant<A> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        act: &mut A,
        ctx: &mut Ctx<A>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        while let Poll::Ready(Some(to)) = self.errands.looks.poll_recv(task) {
            // The asker may have stopped waiting.
            drop(to.send(bounded(act.inspect())));
        }
        while ctx.errand_budget > 0 {
            match self.errands.done.poll_recv(task) {
                Poll::Ready(Some(Errand::Done(id, name, deed))) => {
                    ctx.errand_budget -= 1;
                    let begun = Instant::now();
                    ctx.cell().begin(Handling::own(name, begun));
                    deed(act, ctx);
                    ctx.cell().done(id, name, begun.elapsed(), Duration::ZERO);
                }
                Poll::Ready(Some(Errand::Fallen(fallen))) => {
                    resume_unwind(Box::new(Carried(fallen)))
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}

fn bounded(state: serde_json::Value) -> serde_json::Value {
    let size = serde_json::to_string(&state).map_or(0, |s| s.len());
    if size > MAX_INSPECT {
        return serde_json::json!({ "truncated": format!("{size} bytes of state") });
    }
    state
}

/// A future whose panics belong to an actor although it runs elsewhere.
pub(crate) struct Watched<F> {
    cell: Arc<Cell>,
    work: Pin<Box<F>>,
}

impl<F: Future> Watched<F> {
    pub(crate) fn new(cell: Arc<Cell>, work: F) -> Self {
        Self { cell, work: Box::pin(work) }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = Result<F::Output, Fallen>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _stage = OnStage::enter(&this.cell);
        match catch_unwind(AssertUnwindSafe(|| this.work.as_mut().poll(task))) {
            Ok(Poll::Ready(v)) => Poll::Ready(Ok(v)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => Poll::Ready(Err(take_fallen(&*payload))),
        }
    }
}
