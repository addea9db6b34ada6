//! Letters nobody read: a bounded ring, counts by reason, and a warning now and then.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::stats::{RateLimit, short_name};

/// Entries kept; repeats of the newest entry are counted in it.
pub const MAX_DEAD_LETTERS: usize = 1024;
/// At most one warning per this long.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Why a letter was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeadReason {
    /// The actor had ended.
    Closed,
    /// The mailbox was full; the sender got the letter back.
    Full,
    /// Handling it made the actor panic.
    Poison,
    /// The asker had stopped waiting before its turn came.
    Abandoned,
}

/// One entry of the ring.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Short type name of the message.
    pub message: String,
    /// Path of the sending actor; empty when it came from outside the cast.
    pub from: String,
    /// Path of the addressee.
    pub to: String,
    /// Why.
    pub reason: DeadReason,
    /// How long it had waited in the mailbox, µs.
    pub age_us: u64,
    /// Unix time of the last one, ms.
    pub at_ms: u64,
    /// How many in a row were the same.
    pub count: u64,
}

#[derive(Debug, Default)]
struct Ring {
    letters: VecDeque<DeadLetter>,
    totals: BTreeMap<DeadReason, u64>,
    warned: RateLimit,
}

/// The ring, shared by all actors of a kernel.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    ring: Mutex<Ring>,
}

impl DeadLetters {
    pub(crate) fn record(
        &self,
        message: &'static str,
        from: Option<&Arc<str>>,
        to: &str,
        reason: DeadReason,
        age: Duration,
    ) {
        let message = short_name(message);
        let from = from.map(|f| f.to_string()).unwrap_or_default();
        let mut ring = self.ring.lock();
        *ring.totals.entry(reason).or_default() += 1;
        // Abandoned questions are the asker's own decision, and it knows.
        if reason != DeadReason::Abandoned
            && let Some(more) = ring.warned.admit(Instant::now(), WARN_EVERY)
        {
            tracing::warn!(message, from, to, ?reason, more, "dead letter");
        }
        let at_ms = unix_ms(SystemTime::now());
        let age_us = super::stats::micros(age);
        if let Some(last) = ring.letters.back_mut()
            && last.reason == reason
            && last.to == to
            && last.message == message
        {
            last.count += 1;
            last.at_ms = at_ms;
            last.age_us = age_us;
            return;
        }
        if ring.letters.len() == MAX_DEAD_LETTERS {
            ring.letters.pop_front();
        }
        let to = to.to_owned();
        ring.letters.push_back(DeadLetter { message, from, to, reason, age_us, at_ms, count: 1 });
    }

    pub(crate) fn all(&self) -> Vec<DeadLetter> {
        self.ring.lock().letters.iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> BTreeMap<DeadReason, u64> {
        self.ring.lock().totals.clone()
    }
}

pub(crate) fn unix_ms(t: SystemTime) -> u64 {
    t.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
