//! The envelope around every message: counts it, times it, and reports it when nobody read it.

use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    sync::Arc,
    time::Instant,
};

use actix::{
    Handler, Message,
    dev::{Envelope, EnvelopeProxy, MessageResponse, ToEnvelope},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    cell::Cell,
    ctx::Ctx,
    current::current_path,
    dead_letter::{Burial, DeadReason},
    fall::Handling,
    performer::Performer,
};

/// What travels beside a message. actix's `pack` is a static function, so the sender leaves this
/// in a thread-local right around the call.
pub(crate) struct Stamp {
    pub cell: Arc<Cell>,
    pub permit: OwnedSemaphorePermit,
    /// `oneshot::Sender<M::Result>`
    pub reply: Option<Box<dyn Any + Send>>,
}

thread_local! {
    static STAMP: RefCell<Option<Stamp>> = const { RefCell::new(None) };
}

pub(crate) fn put_stamp(stamp: Stamp) {
    STAMP.with(|s| *s.borrow_mut() = Some(stamp));
}

/// The stamp, if `pack` did not take it: the address was closed.
pub(crate) fn take_stamp() -> Option<Stamp> {
    STAMP.with(|s| s.borrow_mut().take())
}

struct Letter<M: Message> {
    msg: Option<M>,
    reply: Option<oneshot::Sender<M::Result>>,
    cell: Option<Arc<Cell>>,
    permit: Option<OwnedSemaphorePermit>,
    sent: Instant,
    from: Option<Arc<str>>,
    span: tracing::Span,
}

impl<A, M> ToEnvelope<A, M> for Ctx<A>
where
    A: Performer + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(msg: M, tx: Option<oneshot::Sender<M::Result>>) -> Envelope<A> {
        let stamp = take_stamp();
        let mut reply = tx;
        let (mut cell, mut permit) = (None, None);
        if let Some(stamp) = stamp {
            cell = Some(stamp.cell);
            permit = Some(stamp.permit);
            if let Some(Ok(tx)) = stamp.reply.map(Box::<dyn Any + Send>::downcast) {
                reply = Some(*tx);
            }
        }
        Envelope::with_proxy(Box::new(Letter {
            msg: Some(msg),
            reply,
            cell,
            permit,
            sent: Instant::now(),
            from: current_path(),
            span: tracing::Span::current(),
        }))
    }
}

impl<A, M> EnvelopeProxy<A> for Letter<M>
where
    A: Performer + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn handle(&mut self, act: &mut A, ctx: &mut Ctx<A>) {
        ctx.spend();
        let reply = self.reply.take();
        if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
            self.bury(DeadReason::Expired);
            return;
        }
        let Some(msg) = self.msg.take() else { return };
        let name = type_name::<M>();
        let key = <A as Performer>::identity(&msg);
        if ctx.cell().is_aside(name, key.as_ref()) {
            self.msg = Some(msg);
            self.bury_as(DeadReason::Poison, key.as_deref().unwrap_or_default());
            return;
        }
        let begun = Instant::now();
        let queued = begun.duration_since(self.sent);
        let from = self.from.take();
        ctx.cell().begin(Handling { name, since: begun, queued, from, key });
        {
            let _span = self.span.enter();
            let response = act.handle(msg, ctx);
            response.handle(ctx, reply);
        }
        ctx.cell().done(TypeId::of::<M>(), name, begun.elapsed(), queued);
    }
}

impl<M: Message> Letter<M> {
    fn bury(&mut self, reason: DeadReason) {
        self.bury_as(reason, "");
    }

    fn bury_as(&mut self, reason: DeadReason, identity: &str) {
        if self.msg.take().is_some()
            && let Some(cell) = &self.cell
        {
            cell.shared.dead.record(&Burial {
                message: type_name::<M>(),
                from: self.from.as_ref(),
                to: &cell.path,
                reason,
                age: self.sent.elapsed(),
                identity,
                panic: None,
            });
        }
    }
}

impl<M: Message> Drop for Letter<M> {
    fn drop(&mut self) {
        self.bury(DeadReason::Closed);
        drop(self.permit.take());
        if let Some(cell) = &self.cell {
            cell.note_room();
        }
    }
}
