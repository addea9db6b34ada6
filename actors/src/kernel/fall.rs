//! How an actor's deaths are written down: which letter it was, how often in a row, what follows.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use super::{
    alarm::{AlarmKind, CRASH_LOOP},
    cell::Cell,
    current::Fallen,
    dead_letter::{Burial, DeadReason, unix_ms},
    poison::{Identity, POISON_STRIKES},
    record::{MAX_PANICS, PanicRecord, RestartReason, push_bounded},
    stats::short_name,
    trace::TraceEvent,
};

/// The letter in the actor's hands.
#[derive(Debug, Clone)]
pub(crate) struct Handling {
    pub name: &'static str,
    pub since: Instant,
    /// How long it had waited.
    pub queued: Duration,
    pub from: Option<Arc<str>>,
    /// What the actor says it is about.
    pub key: Option<String>,
}

impl Handling {
    /// Something that was not posted: an errand, an order.
    pub(crate) fn own(name: &'static str, since: Instant) -> Self {
        Self { name, since, queued: Duration::ZERO, from: None, key: None }
    }
}

/// Why a life ended other than by order.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub reason: RestartReason,
    pub why: String,
    /// One known letter is to blame, and it is being set aside.
    pub identified: bool,
}

impl Cell {
    /// Whether letters like this one are set aside because they killed the actor again and again.
    pub(crate) fn is_aside(&self, name: &'static str, key: Option<&String>) -> bool {
        let Some(key) = key else { return false };
        if !self.any_aside.load(Ordering::Relaxed) {
            return false;
        }
        let mut poison = self.poison.lock();
        let what = Identity { name, key: Some(key.clone()) };
        let aside = poison.is_aside(&what, tokio::time::Instant::now());
        self.any_aside.store(poison.any_aside(), Ordering::Relaxed);
        aside
    }

    /// Writes down a panic. `starting`: the life had only just begun.
    pub(crate) fn fell(&self, fallen: Fallen, starting: bool) -> Failure {
        let handling = self.handling.lock().take();
        self.panics_caught.fetch_add(1, Ordering::Relaxed);
        self.trace(|at_ms| TraceEvent::Panicked { at_ms, text: fallen.message.clone() });
        self.clear(AlarmKind::Stuck, || "it panicked".to_owned());
        let mut reason = if starting { RestartReason::DidNotStart } else { RestartReason::Panic };
        let mut identified = false;
        match &handling {
            Some(h) if self.strike(h, &fallen) >= POISON_STRIKES => {
                reason = RestartReason::Poison;
                identified = h.key.is_some();
            }
            Some(_) => reason = RestartReason::Panic,
            None => self.poison.lock().other_death(),
        }
        let handling = handling.map(|h| short_name(h.name)).unwrap_or_default();
        tracing::error!(
            actor = %self.path, message = fallen.message, at = fallen.location, handling,
            "actor panicked"
        );
        let why = fallen.message.clone();
        let record = PanicRecord {
            message: fallen.message,
            location: fallen.location,
            backtrace: fallen.backtrace,
            handling,
            incarnation: self.incarnation.load(Ordering::Relaxed),
            at_ms: unix_ms(SystemTime::now()),
        };
        push_bounded(&mut self.panics.lock(), record, MAX_PANICS);
        Failure { reason, why, identified }
    }

    /// The letter being handled killed the actor: how many times in a row that was so.
    fn strike(&self, h: &Handling, fallen: &Fallen) -> u32 {
        let strikes = {
            let mut poison = self.poison.lock();
            let what = Identity { name: h.name, key: h.key.clone() };
            let strikes = poison.strike(what, tokio::time::Instant::now());
            self.any_aside.store(poison.any_aside(), Ordering::Relaxed);
            strikes
        };
        let poison = strikes >= POISON_STRIKES;
        if poison {
            self.raise(AlarmKind::Poison, || {
                let (message, about) = (short_name(h.name), h.key.as_deref().unwrap_or_default());
                format!("{message} {about} made it panic {strikes} times: {}", fallen.message)
            });
        }
        self.shared.dead.record(&Burial {
            message: h.name,
            from: h.from.as_ref(),
            to: &self.path,
            reason: if poison { DeadReason::Poison } else { DeadReason::Panicked },
            age: h.queued,
            identity: h.key.as_deref().unwrap_or_default(),
            panic: Some(fallen),
        });
        strikes
    }

    /// A result came for a life that is over.
    pub(crate) fn stale(&self, message: &'static str) {
        self.shared.dead.record(&Burial {
            message,
            from: Some(&self.path),
            to: &self.path,
            reason: DeadReason::StaleIncarnation,
            age: Duration::ZERO,
            identity: "",
            panic: None,
        });
    }

    /// Notes that the actor is about to be made anew.
    pub(crate) fn note_restart(&self, reason: RestartReason, why: &str, wait: Duration) {
        let life = self.incarnation.load(Ordering::Relaxed);
        self.restart_log.lock().note(reason, why, life, wait);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        *self.wakes_at.lock() = Some(tokio::time::Instant::now() + wait);
        let failures = self.streak.lock().failures(&self.spec.backoff);
        if failures >= CRASH_LOOP {
            self.raise(AlarmKind::CrashLoop, || {
                format!("failed {failures} times in a row, last: {why}")
            });
        }
    }
}
