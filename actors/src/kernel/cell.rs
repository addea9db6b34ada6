//! What everyone may know of one actor: the part of it that is shared between threads.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    alarm::{AlarmKind, AlarmLog},
    control::{Command, Control},
    fall::Handling,
    poison::Poison,
    record::{PanicRecord, RestartLog},
    shared::Shared,
    spec::{ChildSpec, Streak},
    stats::{MessageStats, RateLimit, micros, short_name},
    supervisor::Supervisor,
    trace::{TraceEvent, Tracers},
    waits::Waits,
};

/// Orders waiting in one control lane before operators are refused.
pub const MAX_CONTROL: usize = 64;
/// A handler that runs longer is worth a warning.
pub const SLOW_HANDLER: Duration = Duration::from_millis(10);
/// A handler that runs longer makes the actor show as stuck.
pub const STUCK_HANDLER: Duration = Duration::from_secs(1);
/// At most one slow-handler warning per actor and this long.
const SLOW_WARN_EVERY: Duration = Duration::from_secs(10);

/// What an actor is doing, as its supervising future last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Being created.
    Starting,
    /// Handling mail.
    Running,
    /// Keeping mail.
    Paused,
    /// Failed, waiting out its back-off.
    BackingOff,
    /// Stopped for a group restart, address and mail kept.
    Halted,
    /// On its way out.
    Stopping,
    /// Gone.
    Ended,
    /// In one handler for more than [`STUCK_HANDLER`].
    Stuck,
}

const STATES: [State; 8] = [
    State::Starting,
    State::Running,
    State::Paused,
    State::BackingOff,
    State::Halted,
    State::Stopping,
    State::Ended,
    State::Stuck,
];

/// How an actor came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// It called `ctx.stop()`.
    Normal,
    /// Its supervisor or an operator stopped it.
    Stopped,
    /// Dropped without being asked.
    Killed,
    /// It panicked and was not to be restarted.
    Panicked(String),
    /// It was never started: its supervisor had ended or holds too many children.
    Refused(String),
}

#[derive(Debug)]
pub(crate) struct Cell {
    pub path: Arc<str>,
    pub id: Arc<str>,
    /// Order of start among siblings.
    pub seq: u64,
    pub type_name: &'static str,
    pub shared: Arc<Shared>,
    pub spec: ChildSpec,
    pub parent: Weak<Supervisor>,
    /// Set on first use: the children under this actor.
    pub children: OnceLock<Arc<Supervisor>>,
    /// One permit per free place in the mailbox.
    pub slots: Arc<Semaphore>,
    pub limit: usize,
    pub high_water: AtomicUsize,
    pub refused: AtomicU64,
    pub incarnation: AtomicU64,
    pub restarts: AtomicU64,
    /// Restarts since it last ran long enough to be called healthy.
    pub streak: Mutex<Streak>,
    pub panics_begun: AtomicU64,
    pub panics: Mutex<VecDeque<PanicRecord>>,
    pub restart_log: Mutex<RestartLog>,
    pub poison: Mutex<Poison>,
    /// Whether `poison` sets anything aside: the only thing a healthy actor looks at.
    pub any_aside: AtomicBool,
    pub stats: Mutex<MessageStats>,
    pub handling: Mutex<Option<Handling>>,
    /// Polls that ended because the message budget was spent.
    pub exhausted: AtomicU64,
    pub end: OnceLock<EndReason>,
    pub ended: CancellationToken,
    state: AtomicU8,
    control: mpsc::UnboundedSender<Command>,
    control_depth: AtomicUsize,
    slow: Mutex<RateLimit>,
    /// Panics in all.
    pub panics_caught: AtomicU64,
    /// One bit per [`super::AlarmKind`] that is on.
    pub alarms: AtomicU8,
    pub alarm_log: AlarmLog,
    pub waits: Mutex<Waits>,
    pub tracers: Tracers,
    /// When a pause or back-off is over.
    pub wakes_at: Mutex<Option<tokio::time::Instant>>,
}

/// What is needed to make a cell.
pub(crate) struct CellSpec {
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub seq: u64,
    pub type_name: &'static str,
    pub limit: usize,
    pub spec: ChildSpec,
    pub parent: Weak<Supervisor>,
}

impl Cell {
    pub(crate) fn new(
        spec: CellSpec,
        shared: Arc<Shared>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Command>) {
        let (control, orders) = mpsc::unbounded_channel();
        let limit = spec.limit.clamp(1, Semaphore::MAX_PERMITS);
        let cell = Self {
            path: spec.path,
            id: spec.id,
            seq: spec.seq,
            type_name: spec.type_name,
            shared,
            spec: spec.spec,
            parent: spec.parent,
            children: OnceLock::new(),
            slots: Arc::new(Semaphore::new(limit)),
            limit,
            high_water: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            incarnation: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            streak: Mutex::default(),
            panics_begun: AtomicU64::new(0),
            panics: Mutex::default(),
            restart_log: Mutex::default(),
            poison: Mutex::default(),
            any_aside: AtomicBool::new(false),
            stats: Mutex::default(),
            handling: Mutex::new(None),
            exhausted: AtomicU64::new(0),
            end: OnceLock::new(),
            ended: CancellationToken::new(),
            state: AtomicU8::new(0),
            control,
            control_depth: AtomicUsize::new(0),
            slow: Mutex::default(),
            panics_caught: AtomicU64::new(0),
            alarms: AtomicU8::new(0),
            alarm_log: Mutex::default(),
            waits: Mutex::default(),
            tracers: Mutex::default(),
            wakes_at: Mutex::default(),
        };
        (Arc::new(cell), orders)
    }

    pub(crate) fn set_state(&self, state: State) {
        let at = STATES.iter().position(|s| *s == state).unwrap_or(0);
        self.state.store(at as u8, Ordering::Release);
    }

    /// The state as set, and `Stuck` where the running handler shows it.
    pub(crate) fn state(&self) -> State {
        if self.end.get().is_some() {
            return State::Ended;
        }
        let stuck =
            self.handling.lock().as_ref().is_some_and(|h| h.since.elapsed() > STUCK_HANDLER);
        if stuck { State::Stuck } else { STATES[self.state.load(Ordering::Acquire) as usize] }
    }

    pub(crate) fn depth(&self) -> usize {
        self.limit.saturating_sub(self.slots.available_permits())
    }

    /// Sends an order of the kernel. False when the actor has ended.
    pub(crate) fn command(&self, command: Command) -> bool {
        self.control_depth.fetch_add(1, Ordering::Relaxed);
        let sent = self.control.send(command).is_ok();
        if !sent {
            self.control_depth.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Sends an operator's order, unless too many wait already.
    pub(crate) fn order(&self, control: Control) -> Result<(), super::KernelError> {
        if self.control_depth.load(Ordering::Relaxed) >= MAX_CONTROL {
            return Err(super::KernelError::Busy(self.path.to_string()));
        }
        if self.command(Command::User(control)) {
            Ok(())
        } else {
            Err(super::KernelError::NotFound(self.path.to_string()))
        }
    }

    pub(crate) fn command_taken(&self) {
        self.control_depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// Ends the actor for everyone who looks from outside; only the first reason counts.
    pub(crate) fn finish(&self, reason: EndReason) -> bool {
        let first = self.end.set(reason).is_ok();
        if first {
            self.slots.close();
            self.set_state(State::Ended);
            self.clear_all();
            self.shared.totals.lock().entry(self.type_name).or_default().add(self);
            self.ended.cancel();
        }
        first
    }

    pub(crate) fn begin(&self, handling: Handling) {
        self.trace(|at_ms| TraceEvent::In {
            at_ms,
            message: short_name(handling.name),
            from: handling.from.as_deref().unwrap_or_default().to_owned(),
            queued_us: micros(handling.queued),
        });
        *self.handling.lock() = Some(handling);
    }

    pub(crate) fn done(
        &self,
        id: std::any::TypeId,
        name: &'static str,
        took: Duration,
        queued: Duration,
    ) {
        *self.handling.lock() = None;
        self.stats.lock().record(id, name, took, queued);
        self.trace(|at_ms| TraceEvent::done(at_ms, name, took));
        self.clear(AlarmKind::Stuck, || {
            format!("handled {} in {} ms", short_name(name), took.as_millis())
        });
        if took > SLOW_HANDLER
            && let Some(more) = self.slow.lock().admit(Instant::now(), SLOW_WARN_EVERY)
        {
            let message = short_name(name);
            let took_ms = took.as_millis();
            tracing::warn!(actor = %self.path, message, took_ms, more, "slow handler");
        }
    }

    /// The back-off before the next restart, longer for each failure in a row.
    pub(crate) fn next_backoff(&self) -> Duration {
        self.streak.lock().next(&self.spec.backoff)
    }

    /// Notes that a life has begun.
    pub(crate) fn born(&self) {
        self.incarnation.fetch_add(1, Ordering::SeqCst);
        self.streak.lock().born();
    }
}
