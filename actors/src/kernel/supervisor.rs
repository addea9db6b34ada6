//! A supervisor: knows its children in order of start and decides what a failure means.
//!
//! The decision is taken under one short lock by whoever reports the failure; carrying it out over
//! several actors (`group.rs`) is a task on the pool.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as StdInstant},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    cell::{Cell, CellSpec, EndReason},
    control::Command,
    record::push_bounded,
    shared::Shared,
    spec::{Backoff, Blame, ChildSpec, Intensity, Strategy, Streak, SupervisorSpec},
};

/// Children of one supervisor; further ones are refused.
pub const MAX_CHILDREN: usize = 16_384;
/// Ended children remembered per supervisor.
pub const MAX_GRAVES: usize = 64;
/// How long an ended child is shown.
pub const GRAVE_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum Parent {
    Root,
    Supervisor(Weak<Supervisor>),
    Actor(Weak<Cell>),
}

#[derive(Debug, Clone)]
pub(crate) enum Child {
    Actor(Arc<Cell>),
    Supervisor(Arc<Supervisor>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    /// A group restart, or the restart of this supervisor itself, is under way.
    Restarting,
    /// Gave up; its parent decides.
    Failed,
    Stopped,
}

/// What a failed actor does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    RestartAfter(Duration),
    /// Somebody else will order `Launch` or `Stop`.
    Wait,
}

#[derive(Debug, Clone)]
pub(crate) struct Grave {
    pub path: Arc<str>,
    pub reason: EndReason,
    pub at: StdInstant,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub status: Status,
    pub children: BTreeMap<u64, Child>,
    pub ids: HashMap<Arc<str>, u64>,
    pub window: Intensity,
    pub streak: Streak,
    pub restarts: u64,
    pub graves: VecDeque<Grave>,
    /// Children that failed while a restart was under way.
    pub pending: BTreeSet<u64>,
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub seq: u64,
    pub spec: SupervisorSpec,
    pub shared: Arc<Shared>,
    pub parent: Parent,
    next_seq: AtomicU64,
    pub inner: Mutex<Inner>,
}

pub(crate) fn join(parent: &str, id: &str) -> Arc<str> {
    if parent == "/" { format!("/{id}").into() } else { format!("{parent}/{id}").into() }
}

impl Supervisor {
    fn new(
        path: Arc<str>,
        id: Arc<str>,
        seq: u64,
        spec: SupervisorSpec,
        shared: Arc<Shared>,
        parent: Parent,
    ) -> Arc<Self> {
        let inner = Inner {
            status: Status::Running,
            children: BTreeMap::new(),
            ids: HashMap::new(),
            window: Intensity::default(),
            streak: Streak::default(),
            restarts: 0,
            graves: VecDeque::new(),
            pending: BTreeSet::new(),
        };
        let next_seq = AtomicU64::new(0);
        Arc::new(Self { path, id, seq, spec, shared, parent, next_seq, inner: Mutex::new(inner) })
    }

    pub(crate) fn root(spec: SupervisorSpec, shared: Arc<Shared>) -> Arc<Self> {
        Self::new("/".into(), "".into(), 0, spec, shared, Parent::Root)
    }

    pub(crate) fn under_actor(cell: &Arc<Cell>, spec: SupervisorSpec) -> Arc<Self> {
        let parent = Parent::Actor(Arc::downgrade(cell));
        let (path, id) = (cell.path.clone(), cell.id.clone());
        Self::new(path, id, 0, spec, cell.shared.clone(), parent)
    }

    pub(crate) fn add_supervisor(self: &Arc<Self>, id: &str, spec: SupervisorSpec) -> Arc<Self> {
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let id = unique(&inner, &self.path, id);
        let parent = Parent::Supervisor(Arc::downgrade(self));
        let path = join(&self.path, &id);
        let child = Self::new(path, id.clone(), seq, spec, self.shared.clone(), parent);
        if inner.status == Status::Stopped {
            child.inner.lock().status = Status::Stopped;
            return child;
        }
        inner.ids.insert(id, seq);
        inner.children.insert(seq, Child::Supervisor(child.clone()));
        child
    }

    /// Makes the cell of a new child. A refused one has already ended.
    pub(crate) fn add_actor(
        self: &Arc<Self>,
        id: &str,
        type_name: &'static str,
        limit: usize,
        spec: ChildSpec,
    ) -> (Arc<Cell>, tokio::sync::mpsc::UnboundedReceiver<Command>) {
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        let id = unique(&inner, &self.path, id);
        let path = join(&self.path, &id);
        let parent = Arc::downgrade(self);
        let made = CellSpec { path, id: id.clone(), seq, type_name, limit, spec, parent };
        let (cell, orders) = Cell::new(made, self.shared.clone());
        if inner.status == Status::Stopped {
            cell.finish(EndReason::Refused("its supervisor has stopped".to_owned()));
        } else if inner.children.len() >= MAX_CHILDREN {
            tracing::error!(supervisor = %self.path, limit = MAX_CHILDREN, "too many children");
            cell.finish(EndReason::Refused(format!("more than {MAX_CHILDREN} children")));
        } else {
            inner.ids.insert(id, seq);
            inner.children.insert(seq, Child::Actor(cell.clone()));
        }
        (cell, orders)
    }

    pub(crate) fn child(&self, id: &str) -> Option<Child> {
        let inner = self.inner.lock();
        inner.ids.get(id).and_then(|seq| inner.children.get(seq)).cloned()
    }

    pub(crate) fn children(&self) -> Vec<Child> {
        self.inner.lock().children.values().cloned().collect()
    }

    pub(crate) fn decide(
        self: &Arc<Self>,
        seq: u64,
        path: &str,
        backoff: Duration,
        (blame, why): (Blame, &str),
    ) -> Decision {
        let mut inner = self.inner.lock();
        match inner.status {
            Status::Stopped | Status::Failed => return Decision::Wait,
            Status::Restarting => {
                inner.pending.insert(seq);
                return Decision::Wait;
            }
            Status::Running => {}
        }
        inner.restarts += 1;
        // A new process heals nothing that a new life of the actor does not, and would take everyone
        // else down: only supervisors that gave up count at the root.
        let at_root = matches!(self.parent, Parent::Root) && matches!(blame, Blame::Child(_));
        let blame = if at_root { Blame::Nobody } else { blame };
        let (allowed, period) = (self.allowed(inner.children.len()), self.spec.period);
        if inner.window.record(Instant::now(), blame, allowed, period) {
            inner.status = Status::Failed;
            drop(inner);
            let why = format!("{path} failed too often, last: {why}");
            self.escalate(why);
            return Decision::Wait;
        }
        match self.spec.strategy {
            Strategy::OneForOne | Strategy::Dynamic => Decision::RestartAfter(backoff),
            Strategy::OneForAll | Strategy::RestForOne => {
                inner.status = Status::Restarting;
                drop(inner);
                self.shared.pool.spawn(self.clone().restart_group(seq, backoff));
                Decision::Wait
            }
        }
    }

    /// Restarts allowed within the period.
    pub(crate) fn allowed(&self, children: usize) -> u32 {
        match self.spec.strategy {
            Strategy::Dynamic => {
                self.spec.intensity.max(u32::try_from(children * 2).unwrap_or(u32::MAX))
            }
            _ => self.spec.intensity,
        }
    }

    /// This supervisor has failed: its parent decides.
    fn escalate(self: &Arc<Self>, why: String) {
        tracing::error!(supervisor = %self.path, why, "supervisor gives up");
        let me = self.clone();
        match &self.parent {
            Parent::Root => {
                (self.shared.on_root_failure)(&why);
                self.shared.pool.spawn(async move { me.halt().await });
            }
            Parent::Actor(cell) => {
                if let Some(cell) = cell.upgrade() {
                    cell.command(Command::ChildrenFailed(why));
                }
            }
            Parent::Supervisor(parent) => {
                let Some(parent) = parent.upgrade() else { return };
                let backoff = self.inner.lock().streak.next(&self.spec.backoff);
                if let Decision::RestartAfter(delay) =
                    parent.decide(self.seq, &self.path, backoff, (Blame::Group, &why))
                {
                    self.shared.pool.spawn(me.rebuild(delay));
                }
            }
        }
    }

    /// A child has ended for good.
    pub(crate) fn child_ended(&self, seq: u64) {
        let mut inner = self.inner.lock();
        inner.pending.remove(&seq);
        let Some(child) = inner.children.remove(&seq) else { return };
        let (id, path) = match &child {
            Child::Actor(c) => (&c.id, &c.path),
            Child::Supervisor(s) => (&s.id, &s.path),
        };
        if inner.ids.get(id) == Some(&seq) {
            inner.ids.remove(id);
        }
        let reason = match &child {
            Child::Actor(c) => c.end.get().cloned().unwrap_or(EndReason::Killed),
            Child::Supervisor(_) => EndReason::Stopped,
        };
        let grave = Grave { path: path.clone(), reason, at: StdInstant::now() };
        push_bounded(&mut inner.graves, grave, MAX_GRAVES);
    }

    pub(crate) fn backoff(&self) -> &Backoff {
        &self.spec.backoff
    }
}

/// The id, or the id with a number where a living child has it already.
fn unique(inner: &Inner, path: &str, id: &str) -> Arc<str> {
    if !inner.ids.contains_key(id) {
        return id.into();
    }
    let free = (2_u64..)
        .map(|n| format!("{id}#{n}"))
        .find(|id| !inner.ids.contains_key(id.as_str()))
        .unwrap_or_default();
    tracing::warn!(supervisor = path, id, renamed = free, "a child of this name still lives");
    free.into()
}
