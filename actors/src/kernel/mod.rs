//! The actor kernel: runs, supervises and shows actors. Knows nothing of Kubernetes.
//!
//! Built on actix 0.13's public API with its own context ([`Ctx`]) and its own supervising future,
//! because actix's `Supervisor` lets a panic kill the address and its mailboxes are not bounded.
//! Here a panic in `create`, `started`, a handler, an async response or offloaded work is caught
//! and recorded, and the supervisor decides; **address and queued mail survive**, the letter that
//! caused the panic is gone (dead letter "poison").
//!
//! # The pattern
//!
//! ```
//! use std::time::Duration;
//!
//! use actix::{Actor, Handler, Message};
//! use kabuki_actors::{
//!     kernel::{ActorRef, ChildSpec, Ctx, Kernel, KernelConfig, Performer, SupervisorSpec},
//!     recreate_on_restart,
//! };
//!
//! /// Command: imperative, told.
//! #[derive(Message, Debug, Clone)]
//! #[rtype(result = "()")]
//! pub struct Count(pub u64);
//!
//! /// Query: asked.
//! #[derive(Message, Debug)]
//! #[rtype(result = "u64")]
//! pub struct GetTotal;
//!
//! #[derive(Message, Debug, Clone)]
//! #[rtype(result = "()")]
//! struct Tick;
//!
//! pub struct Counter {
//!     total: u64,
//! }
//!
//! impl Performer for Counter {
//!     type Args = u64; // what it is made from, again at every restart
//!     const MAILBOX: usize = 256;
//!     fn create(start: &u64) -> Self {
//!         Counter { total: *start }
//!     }
//!     fn inspect(&self) -> serde_json::Value {
//!         serde_json::json!({ "total": self.total })
//!     }
//! }
//! recreate_on_restart!(Counter);
//!
//! impl Actor for Counter {
//!     type Context = Ctx<Self>;
//!     fn started(&mut self, ctx: &mut Ctx<Self>) {
//!         ctx.every(Duration::from_millis(5), Tick); // dropped and begun anew on restart
//!     }
//! }
//!
//! impl Handler<Count> for Counter {
//!     type Result = ();
//!     fn handle(&mut self, Count(n): Count, ctx: &mut Ctx<Self>) {
//!         // Never block or await here: run it elsewhere, come back with the result.
//!         ctx.offload(
//!             async move { n * 2 },
//!             |this, doubled, _ctx| this.total += doubled,
//!         );
//!     }
//! }
//!
//! impl Handler<GetTotal> for Counter {
//!     type Result = u64;
//!     fn handle(&mut self, _: GetTotal, _: &mut Ctx<Self>) -> u64 {
//!         self.total
//!     }
//! }
//!
//! impl Handler<Tick> for Counter {
//!     type Result = ();
//!     fn handle(&mut self, _: Tick, _: &mut Ctx<Self>) {}
//! }
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 1)]
//! # async fn main() {
//! let kernel = Kernel::new(KernelConfig::default()).unwrap();
//! let group = kernel.root().supervisor("examples", SupervisorSpec::one_for_one());
//! let counter: ActorRef<Counter> = group.start("counter", 40, ChildSpec::default());
//! counter.tell(Count(1)).unwrap();
//! counter.crash(); // a drill: state is made anew, the address stays
//! let total = counter.ask(GetTotal, Duration::from_secs(5)).await.unwrap();
//! assert!(total == 40 || total == 42);
//! println!("{}", kernel.tree().render_tree());
//! kernel.shutdown().await;
//! # }
//! ```
//!
//! # Rules of the house
//! - Handlers are sync and short. Over 10 ms is logged, over 1 s shows as stuck. Use
//!   [`Ctx::offload`] (async), [`Ctx::offload_blocking`] (disk, processes), [`Ctx::pump`] (streams),
//!   [`Ctx::after`], [`Ctx::every`].
//! - Handler results: plain values, `ResponseActFuture` for few and short async answers (all such
//!   futures of an actor are polled on every wake: 10,000 of them cost 270 µs a message). A panic in
//!   a plain `ResponseFuture` runs outside the actor and fails the asker only: avoid it.
//! - Two actors that `ask` each other from `ctx.wait` or `AtomicResponse` deadlock: do not wait.
//! - `ask` with a timeout may not run at all; what must happen is told and idempotent.
//! - `ctx.stop()` ends transient and temporary children; permanent ones are restarted.
//! - Children of an actor ([`Ctx::children`]) are stopped when it stops or restarts.
//! - In tests: [`TestKit::run`] gives virtual time.

mod address;
mod alarm;
mod attendant;
mod audit;
mod cell;
mod control;
mod ctx;
mod current;
mod dead_letter;
mod debug;
mod error;
mod fall;
mod group;
mod launch;
mod letter;
mod metrics;
mod orders;
mod performer;
mod poison;
mod record;
mod render;
mod shared;
mod snapshot;
mod spec;
mod stage;
mod stats;
mod supervisor;
mod supervisor_ref;
mod system;
mod testkit;
#[cfg(test)]
mod tests;
mod totals;
mod trace;
mod waits;

pub use self::{
    address::{ActorRef, Recipient},
    alarm::{Alarm, AlarmKind, CRASH_LOOP, MAX_ALARMS, QUEUE_ALARM},
    attendant::MAX_INSPECT,
    audit::{AuditRecord, MAX_AUDIT},
    cell::{EndReason, MAX_CONTROL, SLOW_HANDLER, STUCK_HANDLER, State},
    control::{Control, MAX_PAUSE, PAUSE_TIME},
    ctx::{Ctx, MAX_OFFLOADS, MAX_TASKS, MESSAGE_BUDGET, TimerHandle},
    dead_letter::{DeadLetter, DeadReason, MAX_DEAD_LETTERS},
    debug::{DebugAnswer, DebugCall, DebugError},
    error::{AskError, KernelError, SendError},
    performer::{DEFAULT_MAILBOX, Performer},
    poison::{MAX_SET_ASIDE, POISON_STRIKES, SET_ASIDE_STRIKES, SET_ASIDE_TIME},
    record::{MAX_PANICS, MAX_RESTARTS, PanicRecord, RestartReason, RestartRecord},
    render::TopBy,
    shared::RootFailure,
    snapshot::{
        ActorSnapshot, GraveSnapshot, HandlingSnapshot, Inspection, InspectionStatus,
        MailboxSnapshot, NodeSnapshot, SupervisorSnapshot, TreeSnapshot,
    },
    spec::{Backoff, ChildSpec, Placement, Restart, Shutdown, Strategy, SupervisorSpec},
    stats::{MessageSnapshot, RecentMessage},
    supervisor::{GRAVE_TIME, MAX_CHILDREN, MAX_GRAVES},
    supervisor_ref::SupervisorRef,
    system::{INSPECT_TIMEOUT, Kernel, KernelConfig, MAX_DEDICATED, SWEEP_EVERY},
    testkit::{Probe, ProbeInbox, TestKit},
    trace::{MAX_TRACES, TRACE_BUFFER, TRACE_EVENTS, TRACE_TIME, Trace, TraceEvent},
    waits::{CYCLE_AGE, MAX_CYCLES, MAX_WAITS, WaitCycle, WaitKind, WaitSnapshot},
};
