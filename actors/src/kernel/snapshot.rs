//! The cast as data: what `/debug/actors` serves and `kabuki actors` prints.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    alarm::AlarmKind,
    cell::{Cell, EndReason, State},
    record::{PanicRecord, RestartRecord},
    shared::Shared,
    stats::{MessageSnapshot, RecentMessage, micros, short_name},
    supervisor::{Child, GRAVE_TIME, Status, Supervisor},
    waits::{WaitCycle, WaitSnapshot},
};

/// Everyone under the root.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeSnapshot {
    /// The root supervisor.
    pub root: NodeSnapshot,
    /// Actors that wait for each other.
    #[serde(default)]
    pub cycles: Vec<WaitCycle>,
}

/// A supervisor or an actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum NodeSnapshot {
    /// Starts and restarts others.
    Supervisor(SupervisorSnapshot),
    /// Handles mail.
    Actor(Box<ActorSnapshot>),
}

/// A supervisor as it is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorSnapshot {
    /// Its path.
    pub path: String,
    /// `Running`, `Restarting`, `Failed`, `Stopped`.
    pub state: String,
    /// `OneForOne`, …
    pub strategy: String,
    /// Restarts of children inside the running window.
    pub intensity_used: usize,
    /// Restarts allowed in one window.
    pub intensity_allowed: u32,
    /// The window, ms.
    pub period_ms: u64,
    /// Restarts of children so far.
    pub restarts: u64,
    /// In order of start.
    pub children: Vec<NodeSnapshot>,
    /// Children that ended within the last seconds.
    pub graves: Vec<GraveSnapshot>,
}

/// A child that has just ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraveSnapshot {
    /// Its path.
    pub path: String,
    /// How it ended.
    pub reason: EndReason,
    /// How long ago, ms.
    pub ago_ms: u64,
}

/// The mailbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailboxSnapshot {
    /// Letters waiting or being read.
    pub depth: usize,
    /// Most it may hold.
    pub limit: usize,
    /// Most it ever held.
    pub high_water: usize,
    /// Letters given back because it was full.
    pub refused: u64,
}

/// The letter being handled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlingSnapshot {
    /// Message type.
    pub message: String,
    /// Since when, µs ago.
    pub for_us: u64,
}

/// An actor as it is now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorSnapshot {
    /// Its path.
    pub path: String,
    /// Rust type, short.
    #[serde(rename = "type")]
    pub type_name: String,
    /// What it is doing.
    pub state: State,
    /// Its mailbox.
    pub mailbox: MailboxSnapshot,
    /// Counts and times per message type.
    pub messages: Vec<MessageSnapshot>,
    /// Letters handled in all.
    pub handled: u64,
    /// Time in handlers in all, µs.
    pub busy_us: u64,
    /// Polls that ended because the message budget was spent.
    pub budget_spent: u64,
    /// What it is handling now.
    pub handling: Option<HandlingSnapshot>,
    /// What it handled last, oldest first.
    pub recent: Vec<RecentMessage>,
    /// Which life this is, from 1; 0 before the first.
    pub incarnation: u64,
    /// Restarts so far.
    pub restarts: u64,
    /// When it is restarted.
    pub restart: String,
    /// Alarms that are on.
    #[serde(default)]
    pub alarms: Vec<AlarmKind>,
    /// Whom it, or work it has offloaded, waits for.
    #[serde(default)]
    pub waiting_on: Vec<WaitSnapshot>,
    /// When a pause or back-off ends, ms from now.
    #[serde(default)]
    pub wakes_in_ms: Option<u64>,
    /// The last restarts with their reasons, oldest first.
    #[serde(default)]
    pub restart_log: Vec<RestartRecord>,
    /// Failures since it last ran long enough to be called healthy; each doubles the back-off.
    #[serde(default)]
    pub failures: u32,
    /// Identities of letters set aside because they killed it again and again.
    #[serde(default)]
    pub set_aside: Vec<String>,
    /// Panics, oldest first.
    pub panics: Vec<PanicRecord>,
    /// The children under it.
    pub children: Option<SupervisorSnapshot>,
}

/// How an inspection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InspectionStatus {
    /// It answered.
    Alive,
    /// It did not get to it in time: in a long handler, or waiting for one.
    Timeout,
    /// It is backing off, halted or ending.
    NotRunning,
}

/// The state of one actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Whose.
    pub path: String,
    /// Whether `state` means something.
    pub status: InspectionStatus,
    /// What the actor's `inspect` returned.
    pub state: serde_json::Value,
    /// What the kernel knows of it.
    pub actor: ActorSnapshot,
}

impl TreeSnapshot {
    /// All actors, in tree order.
    #[must_use]
    pub fn actors(&self) -> Vec<&ActorSnapshot> {
        let mut out = Vec::new();
        collect(&self.root, &mut out);
        out
    }

    /// The actor at a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&ActorSnapshot> {
        self.actors().into_iter().find(|a| a.path == path)
    }
}

fn collect<'a>(node: &'a NodeSnapshot, out: &mut Vec<&'a ActorSnapshot>) {
    let below = match node {
        NodeSnapshot::Supervisor(s) => Some(s),
        NodeSnapshot::Actor(a) => {
            out.push(&**a);
            a.children.as_ref()
        }
    };
    for child in below.iter().flat_map(|s| &s.children) {
        collect(child, out);
    }
}

pub(crate) fn tree(root: &Arc<Supervisor>, shared: &Shared) -> TreeSnapshot {
    let root = NodeSnapshot::Supervisor(supervisor(root));
    let mut tree = TreeSnapshot { root, cycles: Vec::new() };
    let waits: Vec<_> = tree
        .actors()
        .into_iter()
        .filter(|a| !a.waiting_on.is_empty())
        .map(|a| (a.path.clone(), a.waiting_on.clone()))
        .collect();
    tree.cycles = shared.cycles.look(&waits);
    tree
}

fn supervisor(s: &Arc<Supervisor>) -> SupervisorSnapshot {
    // Children are looked at after the lock is gone: they may report to this supervisor meanwhile.
    let (state, used, restarts, graves) = {
        let mut inner = s.inner.lock();
        let used = inner.window.used(Instant::now(), s.spec.period);
        let graves = inner
            .graves
            .iter()
            .filter(|g| g.at.elapsed() < GRAVE_TIME)
            .map(|g| GraveSnapshot {
                path: g.path.to_string(),
                reason: g.reason.clone(),
                ago_ms: millis(g.at.elapsed()),
            })
            .collect();
        (inner.status, used, inner.restarts, graves)
    };
    let children: Vec<_> = s
        .children()
        .iter()
        .map(|child| match child {
            Child::Actor(c) => NodeSnapshot::Actor(Box::new(actor(c))),
            Child::Supervisor(s) => NodeSnapshot::Supervisor(supervisor(s)),
        })
        .collect();
    SupervisorSnapshot {
        path: s.path.to_string(),
        state: match state {
            Status::Running => "running",
            Status::Restarting => "restarting",
            Status::Failed => "failed",
            Status::Stopped => "stopped",
        }
        .to_owned(),
        strategy: format!("{:?}", s.spec.strategy),
        intensity_used: used,
        intensity_allowed: s.allowed(children.len()),
        period_ms: millis(s.spec.period),
        restarts,
        children,
        graves,
    }
}

pub(crate) fn actor(cell: &Arc<Cell>) -> ActorSnapshot {
    let handling = cell.handling.lock().as_ref().map(|h| HandlingSnapshot {
        message: short_name(h.name),
        for_us: micros(h.since.elapsed()),
    });
    let (messages, recent, handled, busy_us) = {
        let stats = cell.stats.lock();
        (stats.snapshot(), stats.recent(), stats.handled(), micros(stats.busy()))
    };
    let children = cell
        .children
        .get()
        .map(supervisor)
        .filter(|s| !s.children.is_empty() || !s.graves.is_empty());
    ActorSnapshot {
        path: cell.path.to_string(),
        type_name: short_name(cell.type_name),
        state: cell.state(),
        mailbox: MailboxSnapshot {
            depth: cell.depth(),
            limit: cell.limit,
            high_water: cell.high_water.load(Ordering::Relaxed),
            refused: cell.refused.load(Ordering::Relaxed),
        },
        messages,
        handled,
        busy_us,
        budget_spent: cell.exhausted.load(Ordering::Relaxed),
        handling,
        recent,
        incarnation: cell.incarnation.load(Ordering::Relaxed),
        restarts: cell.restarts.load(Ordering::Relaxed),
        restart: format!("{:?}", cell.spec.restart),
        alarms: cell.alarms_on(),
        waiting_on: cell.waits.lock().snapshot(),
        wakes_in_ms: wakes_in(cell),
        restart_log: cell.restart_log.lock().last(),
        failures: cell.streak.lock().failures(&cell.spec.backoff),
        set_aside: cell.poison.lock().shown(),
        panics: cell.panics.lock().iter().cloned().collect(),
        children,
    }
}

fn wakes_in(cell: &Cell) -> Option<u64> {
    let sleeps = matches!(cell.state(), State::Paused | State::BackingOff);
    let at = (*cell.wakes_at.lock()).filter(|_| sleeps)?;
    Some(millis(at.saturating_duration_since(Instant::now())))
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
