//! What a type must be to go on stage.

use std::any::Any;

use actix::{Actor, Supervised};

use super::ctx::Ctx;

/// Mailbox limit where an actor does not name its own.
pub const DEFAULT_MAILBOX: usize = 1024;

/// An actor the kernel can create, restart and look into.
///
/// `create` must be cheap and must not do I/O: it runs on the actor's thread, at the start and at
/// every restart. Begin the work in [`Actor::started`], which runs after each `create`.
pub trait Performer: Actor<Context = Ctx<Self>> + Supervised {
    /// What it is made from; kept by the kernel for restarts.
    type Args: Clone + Send + 'static;

    /// Most letters waiting at once; more are refused with `Full`.
    const MAILBOX: usize = DEFAULT_MAILBOX;

    /// Makes a fresh state.
    fn create(args: &Self::Args) -> Self;

    /// What a letter is about, for example the uid and version of an object, so that the kernel
    /// knows it again when it is delivered anew. A letter with an identity that made the actor panic
    /// three times in a row is set aside unread for [`super::SET_ASIDE_TIME`] while the others are
    /// handled; so only letters whose loss their next version makes good should have one.
    #[must_use]
    fn identity(_letter: &dyn Any) -> Option<String> {
        None
    }

    /// The state for `/debug/actors/…/state`, at most 64 KiB of JSON. Must not hold secrets.
    fn inspect(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Implements [`actix::Supervised`] so that a restart begins with a fresh [`Performer::create`].
///
/// Rust's orphan rule keeps the kernel from doing it for all performers at once. An actor that
/// writes its own empty `impl Supervised` keeps its state over a panic instead.
#[macro_export]
macro_rules! recreate_on_restart {
    ($actor:ty) => {
        impl ::actix::Supervised for $actor {
            fn restarting(&mut self, ctx: &mut <Self as ::actix::Actor>::Context) {
                ctx.recreate(self);
            }
        }
    };
}
