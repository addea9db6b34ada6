//! The kernel as a whole: its threads, its root supervisor, and the ways to look in.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use actix::{Arbiter, ArbiterHandle, System};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{
    address::ActorRef,
    alarm::{Alarm, Alarms},
    audit::{Audit, AuditRecord},
    cell::{Cell, State},
    control::{Command, Control},
    current::install_panic_hook,
    dead_letter::{DeadLetter, DeadLetters, DeadReason},
    error::KernelError,
    performer::Performer,
    shared::{RootFailure, Shared},
    snapshot::{self, ActorSnapshot, Inspection, InspectionStatus, TreeSnapshot},
    spec::SupervisorSpec,
    supervisor::{Child, Supervisor},
    supervisor_ref::{SupervisorRef, lookup},
    trace::Trace,
    waits::Cycles,
};

/// Threads for dedicated actors; further ones share the arbiters.
pub const MAX_DEDICATED: usize = 16;
/// How long an inspection waits for the actor.
pub const INSPECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often somebody looks from outside for actors that are stuck.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How to set up a [`Kernel`].
#[derive(Clone)]
pub struct KernelConfig {
    /// Threads that actors share; the system arbiter is one more.
    pub arbiters: usize,
    /// Where offloaded work and timers run; the caller's runtime when None.
    pub pool: Option<Handle>,
    /// The root supervisor: when supervisors under it give up more than three times in 60 s it fails.
    /// Actors directly under it only back off.
    pub root: SupervisorSpec,
    /// Called when the root supervisor fails. The program should end with exit code 70 then.
    pub on_root_failure: RootFailure,
}

impl Default for KernelConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            arbiters: (cpus / 2).clamp(1, 4),
            pool: None,
            root: SupervisorSpec::one_for_one().intensity(3, Duration::from_secs(60)),
            on_root_failure: Arc::new(|why| {
                tracing::error!(why, "the root supervisor failed");
            }),
        }
    }
}

impl std::fmt::Debug for KernelConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelConfig").field("arbiters", &self.arbiters).finish_non_exhaustive()
    }
}

/// One cast of actors: one per process, one per test. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kernel {
    shared: Arc<Shared>,
    root: Arc<Supervisor>,
    system: Option<System>,
}

/// A runtime for one arbiter: timers only, I/O belongs to the pool.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}

impl Kernel {
    /// Starts the actor threads.
    ///
    /// # Errors
    /// `NoRuntime` outside a tokio runtime without `pool`, `Thread` when threads cannot be made.
    pub fn new(config: KernelConfig) -> Result<Self, KernelError> {
        let pool = match config.pool.clone() {
            Some(pool) => pool,
            None => Handle::try_current().map_err(|_| KernelError::NoRuntime)?,
        };
        let (tx, rx) = std::sync::mpsc::sync_channel(1);
        let wanted = config.arbiters.max(1);
        std::thread::Builder::new()
            .name("kabuki-actors".to_owned())
            .spawn(move || run_system(wanted, &tx))
            .map_err(|e| KernelError::Thread(e.to_string()))?;
        let (system, arbiters) = rx
            .recv()
            .map_err(|e| KernelError::Thread(e.to_string()))?
            .map_err(|e| KernelError::Thread(e.to_string()))?;
        let main = system.arbiter().clone();
        let kernel = Self::build(config, pool, main, arbiters, Some(system));
        let shared = Arc::downgrade(&kernel.shared);
        kernel.shared.pool.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let Some(shared) = shared.upgrade() else { return };
                shared.sweep();
            }
        });
        Ok(kernel)
    }

    /// A kernel on the running actix system only, with that system's clock: for tests.
    pub(crate) fn here(config: KernelConfig) -> Result<Self, KernelError> {
        let pool = Handle::try_current().map_err(|_| KernelError::NoRuntime)?;
        let arbiter = Arbiter::try_current().ok_or(KernelError::NoRuntime)?;
        Ok(Self::build(config, pool, arbiter.clone(), vec![arbiter], None))
    }

    fn build(
        config: KernelConfig,
        pool: Handle,
        main: ArbiterHandle,
        arbiters: Vec<ArbiterHandle>,
        system: Option<System>,
    ) -> Self {
        install_panic_hook();
        let shared = Arc::new(Shared {
            pool,
            system: main,
            arbiters,
            dedicated: AtomicUsize::new(0),
            dead: DeadLetters::default(),
            alarms: Alarms::default(),
            audit: Audit::default(),
            totals: parking_lot::Mutex::default(),
            cycles: Cycles::default(),
            traces: AtomicUsize::new(0),
            registry: parking_lot::Mutex::default(),
            on_root_failure: config.on_root_failure,
            epoch: (SystemTime::now(), Instant::now()),
            virtual_time: system.is_none(),
        });
        let root = Supervisor::root(config.root, shared.clone());
        Self { shared, root, system }
    }

    /// The supervisor everyone is under.
    #[must_use]
    pub fn root(&self) -> SupervisorRef {
        SupervisorRef::new(self.root.clone())
    }

    /// The living actor at a path, when it is of this type.
    #[must_use]
    pub fn lookup<A: Performer>(&self, path: &str) -> Option<ActorRef<A>> {
        lookup(&self.shared, path)
    }

    /// Everyone, as they are now.
    #[must_use]
    pub fn tree(&self) -> TreeSnapshot {
        snapshot::tree(&self.root, &self.shared)
    }

    /// One actor with everything known of it, panics with their backtraces included.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn show(&self, path: &str) -> Result<ActorSnapshot, KernelError> {
        self.cell(path).map(|cell| snapshot::actor(&cell))
    }

    fn cell(&self, path: &str) -> Result<Arc<Cell>, KernelError> {
        self.shared.cell(path).ok_or_else(|| KernelError::NotFound(path.to_owned()))
    }

    /// The actor's own state, as its `inspect` gives it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn inspect(&self, path: &str) -> Result<Inspection, KernelError> {
        let cell = self.cell(path)?;
        let actor = snapshot::actor(&cell);
        let (tx, rx) = oneshot::channel();
        cell.command(Command::Inspect(tx));
        let (status, state) = match tokio::time::timeout(INSPECT_TIMEOUT, rx).await {
            Ok(Ok(state)) => (InspectionStatus::Alive, state),
            Ok(Err(_)) => (InspectionStatus::NotRunning, serde_json::Value::Null),
            Err(_) => (InspectionStatus::Timeout, serde_json::Value::Null),
        };
        Ok(Inspection { path: path.to_owned(), status, state, actor })
    }

    /// Gives an order to the actor or supervisor at a path. Supervisors know `Restart` and `Stop`.
    ///
    /// # Errors
    /// `NotFound`, `Busy`, `NotAnActor`.
    pub fn control(&self, path: &str, control: Control) -> Result<(), KernelError> {
        if let Ok(cell) = self.cell(path) {
            tracing::warn!(actor = path, ?control, "ordered from outside");
            return cell.order(control);
        }
        let Some(supervisor) = find_supervisor(&self.root, path) else {
            return Err(KernelError::NotFound(path.to_owned()));
        };
        tracing::warn!(supervisor = path, ?control, "ordered from outside");
        match control {
            Control::Restart => {
                self.shared.pool.spawn(supervisor.rebuild(Duration::ZERO));
            }
            Control::Stop => {
                self.shared.pool.spawn(async move { supervisor.stop().await });
            }
            _ => return Err(KernelError::NotAnActor(path.to_owned())),
        }
        Ok(())
    }

    /// Makes an actor panic, as a drill.
    ///
    /// # Errors
    /// As [`Kernel::control`].
    pub fn crash(&self, path: &str) -> Result<(), KernelError> {
        self.control(path, Control::InjectPanic("panic injected from outside".to_owned()))
    }

    /// Letters nobody read, oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.shared.dead.all()
    }

    /// How many letters nobody read, by reason.
    #[must_use]
    pub fn dead_letter_totals(&self) -> BTreeMap<DeadReason, u64> {
        self.shared.dead.totals()
    }

    /// The last alarms, oldest first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shared.alarms.all()
    }

    /// Alarms from now on. Who falls behind loses the oldest.
    #[must_use]
    pub fn listen(&self) -> tokio::sync::broadcast::Receiver<Alarm> {
        self.shared.alarms.listen()
    }

    /// Gives an order in somebody's name and writes it down.
    ///
    /// # Errors
    /// As [`Kernel::control`].
    pub fn order(&self, user: &str, path: &str, control: Control) -> Result<(), KernelError> {
        let name = control.name();
        let done = self.control(path, control);
        let outcome = done.as_ref().map_or_else(ToString::to_string, |()| "accepted".to_owned());
        self.shared.audit.record(user, name, path, &outcome);
        done
    }

    /// Who ordered what, oldest first.
    #[must_use]
    pub fn audit(&self) -> Vec<AuditRecord> {
        self.shared.audit.all()
    }

    /// Watches the letters of one actor, within [`super::TRACE_TIME`] and [`super::TRACE_EVENTS`].
    ///
    /// # Errors
    /// `NotFound`, `TooManyTraces`.
    pub fn trace(
        &self,
        user: &str,
        path: &str,
        time: Option<Duration>,
        max: Option<u64>,
    ) -> Result<Trace, KernelError> {
        let begun = self.cell(path).and_then(|cell| Trace::begin(cell, time, max));
        let outcome = begun.as_ref().map_or_else(ToString::to_string, |_| "accepted".to_owned());
        self.shared.audit.record(user, "trace", path, &outcome);
        begun
    }

    /// Looks once at every actor for what does not tell by itself.
    #[cfg(test)]
    pub(crate) fn sweep(&self) {
        self.shared.sweep();
    }

    /// Metrics of all actors in Prometheus' text format, by actor type.
    #[must_use]
    pub fn metrics(&self) -> String {
        super::metrics::render(&self.shared, &self.shared.cells())
    }

    /// Stops everyone, last started first, then the actor threads.
    pub async fn shutdown(&self) {
        self.root.stop().await;
        if let Some(system) = &self.system {
            system.stop();
        }
    }

    /// Whether the actor at this path is handling mail: for tests and probes.
    #[must_use]
    pub fn state(&self, path: &str) -> Option<State> {
        self.shared.cell(path).map(|c| c.state())
    }
}

fn find_supervisor(from: &Arc<Supervisor>, path: &str) -> Option<Arc<Supervisor>> {
    if &*from.path == path {
        return Some(from.clone());
    }
    from.children().into_iter().find_map(|child| match child {
        Child::Supervisor(s) => find_supervisor(&s, path),
        Child::Actor(_) => None,
    })
}

type Started = io::Result<(System, Vec<ArbiterHandle>)>;

/// The system thread: makes the arbiters, then runs until `System::stop`.
fn run_system(arbiters: usize, started: &std::sync::mpsc::SyncSender<Started>) {
    let rt = match runtime() {
        Ok(rt) => rt,
        Err(e) => {
            drop(started.send(Err(e)));
            return;
        }
    };
    let runner = System::with_tokio_rt(move || rt);
    let mut handles = Vec::new();
    for _ in 0..arbiters {
        match Arbiter::try_with_tokio_rt(runtime) {
            Ok(arbiter) => handles.push(arbiter.handle()),
            Err(e) => {
                drop(started.send(Err(e)));
                return;
            }
        }
    }
    if started.send(Ok((System::current(), handles))).is_ok()
        && let Err(error) = runner.run()
    {
        tracing::error!(%error, "the actor system ended with an error");
    }
}
