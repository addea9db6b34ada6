//! Alarms: edges an operator wants to hear of, kept in a bounded ring and told to whoever listens.
//!
//! Raised once when a condition begins and cleared once when it is over. Knows nothing of who
//! listens: a member or node makes Kubernetes events of them.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::{
    cell::Cell,
    dead_letter::unix_ms,
    record::push_bounded,
    stats::{RateLimit, short_name},
};

/// Alarms kept.
pub const MAX_ALARMS: usize = 256;
/// Alarms a slow listener may fall behind before it loses the oldest.
const BEHIND: usize = 256;
/// Part of its limit, in percent, at which a mailbox alarms, and at which the alarm is cleared.
pub const QUEUE_ALARM: [usize; 2] = [80, 50];
/// Failures in a row that are a crash loop.
pub const CRASH_LOOP: u32 = 5;
/// One actor's alarms are logged at most once per this long.
const LOG_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AlarmKind {
    /// The mailbox holds 80 % of what it may; cleared at 50 %.
    LongQueue,
    /// One handler has run for over a second.
    Stuck,
    /// A letter made the actor panic twice in a row. Never cleared: it is one incident.
    Poison,
    /// The actor failed five times in a row; cleared once it runs long enough.
    CrashLoop,
}

impl AlarmKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LongQueue, Self::Stuck, Self::Poison, Self::CrashLoop];

    /// As it stands in metrics and texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LongQueue => "long-queue",
            Self::Stuck => "stuck",
            Self::Poison => "poison",
            Self::CrashLoop => "crash-loop",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// Path of the actor.
    pub path: String,
    /// True when it begins, false when it is over.
    pub raised: bool,
    /// In words.
    pub text: String,
    /// Unix time, ms.
    pub at_ms: u64,
}

/// The alarms of a kernel.
#[derive(Debug)]
pub(crate) struct Alarms {
    ring: Mutex<VecDeque<Alarm>>,
    raised: [AtomicU64; AlarmKind::ALL.len()],
    listeners: broadcast::Sender<Alarm>,
}

impl Default for Alarms {
    fn default() -> Self {
        let listeners = broadcast::channel(BEHIND).0;
        Self { ring: Mutex::default(), raised: Default::default(), listeners }
    }
}

impl Alarms {
    fn tell(&self, alarm: Alarm) {
        if alarm.raised {
            self.raised[alarm.kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        push_bounded(&mut self.ring.lock(), alarm.clone(), MAX_ALARMS);
        // Nobody listening is no failure: the ring has it.
        drop(self.listeners.send(alarm));
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Alarm> {
        self.ring.lock().iter().cloned().collect()
    }

    pub(crate) fn raised(&self, kind: AlarmKind) -> u64 {
        self.raised[kind as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Alarm> {
        self.listeners.subscribe()
    }
}

impl Cell {
    /// The alarms that are on.
    pub(crate) fn alarms_on(&self) -> Vec<AlarmKind> {
        let on = self.alarms.load(Ordering::Relaxed);
        AlarmKind::ALL.into_iter().filter(|k| on & k.bit() != 0).collect()
    }

    /// Raises an alarm unless it is on already.
    pub(crate) fn raise(&self, kind: AlarmKind, text: impl FnOnce() -> String) {
        let once = kind == AlarmKind::Poison;
        if !once && self.alarms.fetch_or(kind.bit(), Ordering::AcqRel) & kind.bit() != 0 {
            return;
        }
        self.tell(kind, true, text());
    }

    /// Clears an alarm that is on. Cheap when none is.
    pub(crate) fn clear(&self, kind: AlarmKind, text: impl FnOnce() -> String) {
        if self.alarms.load(Ordering::Relaxed) & kind.bit() == 0 {
            return;
        }
        if self.alarms.fetch_and(!kind.bit(), Ordering::AcqRel) & kind.bit() != 0 {
            self.tell(kind, false, text());
        }
    }

    fn tell(&self, kind: AlarmKind, raised: bool, text: String) {
        if let Some(more) = self.alarm_log.lock().admit(Instant::now(), LOG_EVERY) {
            let alarm = kind.name();
            tracing::warn!(actor = %self.path, alarm, raised, text, more, "actor alarm");
        }
        let at_ms = unix_ms(SystemTime::now());
        self.shared.alarms.tell(Alarm { kind, path: self.path.to_string(), raised, text, at_ms });
    }

    /// After a letter was put into the mailbox.
    pub(crate) fn note_depth(&self) {
        let depth = self.depth();
        self.high_water.fetch_max(depth, Ordering::Relaxed);
        if depth >= part(self.limit, QUEUE_ALARM[0]).max(1) {
            self.raise(AlarmKind::LongQueue, || format!("{depth} of {} letters wait", self.limit));
        }
    }

    /// After a letter left the mailbox.
    pub(crate) fn note_room(&self) {
        if self.alarms.load(Ordering::Relaxed) & AlarmKind::LongQueue.bit() == 0 {
            return;
        }
        let depth = self.depth();
        if depth <= self.limit * QUEUE_ALARM[1] / 100 {
            self.clear(AlarmKind::LongQueue, || format!("{depth} of {} letters wait", self.limit));
        }
    }

    /// Looks for what does not tell by itself: a handler that does not come back, and an actor that
    /// is healthy again. Called from outside, once a second.
    pub(crate) fn sweep(&self) {
        let stuck = self.handling.lock().as_ref().map(|h| (h.name, h.since.elapsed()));
        if let Some((name, since)) = stuck.filter(|(_, since)| *since > super::STUCK_HANDLER) {
            self.raise(AlarmKind::Stuck, || {
                format!("handling {} for {} ms", short_name(name), since.as_millis())
            });
        }
        let looping = self.alarms.load(Ordering::Relaxed) & AlarmKind::CrashLoop.bit() != 0;
        if looping && self.streak.lock().failures(&self.spec.backoff) == 0 {
            self.clear(AlarmKind::CrashLoop, || "it runs again".to_owned());
        }
    }

    /// An actor that has ended alarms nobody any more.
    pub(crate) fn clear_all(&self) {
        for kind in AlarmKind::ALL {
            self.clear(kind, || "the actor has ended".to_owned());
        }
    }
}

/// `percent` of `limit`, rounded up.
fn part(limit: usize, percent: usize) -> usize {
    (limit * percent).div_ceil(100)
}

/// Rate limit of one actor's alarm lines.
pub(crate) type AlarmLog = Mutex<RateLimit>;
