//! What all actors of one kernel share.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Weak, atomic::AtomicUsize},
    time::SystemTime,
};

use actix::ArbiterHandle;
use parking_lot::Mutex;
use tokio::{runtime::Handle, time::Instant};

use super::{
    alarm::Alarms, audit::Audit, cell::Cell, dead_letter::DeadLetters, totals::ByType,
    waits::Cycles,
};

/// Called once when the root supervisor fails; the text says why.
pub type RootFailure = Arc<dyn Fn(&str) + Send + Sync>;

pub(crate) struct Entry {
    pub cell: Weak<Cell>,
    /// The typed `ActorRef<A>`'s weak form is not needed: entries go when actors end.
    pub address: Box<dyn Any + Send + Sync>,
}

pub(crate) struct Shared {
    /// Runs offloaded work, timers and restarts of groups.
    pub pool: Handle,
    pub system: ArbiterHandle,
    pub arbiters: Vec<ArbiterHandle>,
    pub dedicated: AtomicUsize,
    pub dead: DeadLetters,
    pub alarms: Alarms,
    pub audit: Audit,
    /// What ended actors have counted.
    pub totals: Mutex<ByType>,
    pub cycles: Cycles,
    /// Traces running: the one thing a letter looks at.
    pub traces: AtomicUsize,
    pub registry: Mutex<HashMap<Arc<str>, Entry>>,
    pub on_root_failure: RootFailure,
    /// Wall clock and its monotonic twin at the start; the wall clock is derived where time is
    /// virtual.
    pub epoch: (SystemTime, Instant),
    pub virtual_time: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("arbiters", &self.arbiters.len()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Wall-clock time; moves with the virtual clock in tests.
    pub(crate) fn wall(&self) -> SystemTime {
        if self.virtual_time { self.epoch.0 + self.epoch.1.elapsed() } else { SystemTime::now() }
    }

    /// Every living actor.
    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        let registry = self.registry.lock();
        let alive = |c: &Arc<Cell>| c.end.get().is_none();
        registry.values().filter_map(|e| e.cell.upgrade()).filter(alive).collect()
    }

    /// See [`Cell::sweep`].
    pub(crate) fn sweep(&self) {
        self.cells().iter().for_each(|cell| cell.sweep());
    }

    pub(crate) fn cell(&self, path: &str) -> Option<Arc<Cell>> {
        self.registry.lock().get(path).and_then(|e| e.cell.upgrade())
    }
}
