//! Letters nobody read: a bounded ring, counts by reason, and a warning now and then.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    current::{Fallen, bounded},
    record::push_bounded,
    stats::{RateLimit, short_name},
};

/// Entries kept; a letter like one of the newest [`LIKE`] entries is counted there.
pub const MAX_DEAD_LETTERS: usize = 1024;
/// Newest entries looked through for one to count a further letter in.
const LIKE: usize = 16;
/// Longest backtrace kept with a poisonous letter, bytes.
const MAX_BACKTRACE: usize = 4 * 1024;
/// At most one warning per this long.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Why a letter was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadReason {
    /// The actor had ended.
    Closed,
    /// The mailbox was full; the sender got the letter back.
    Full,
    /// Handling it made the actor panic.
    Panicked,
    /// It made the actor panic twice in a row, or was set aside for doing so three times.
    Poison,
    /// The result of work that an earlier life of the actor had begun.
    StaleIncarnation,
    /// The asker had stopped waiting before its turn came.
    Expired,
}

impl DeadReason {
    /// As it stands in metrics and texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Full => "full",
            Self::Panicked => "panicked",
            Self::Poison => "poison",
            Self::StaleIncarnation => "stale-incarnation",
            Self::Expired => "expired",
        }
    }
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
    /// How many were the same.
    pub count: u64,
    /// What the actor says the letter is about; empty when it says nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identity: String,
    /// Text of the panic it caused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub panic: String,
    /// Backtrace of the panic a poisonous letter caused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backtrace: String,
}

/// A letter about to be buried.
pub(crate) struct Burial<'a> {
    pub message: &'static str,
    pub from: Option<&'a Arc<str>>,
    pub to: &'a Arc<str>,
    pub reason: DeadReason,
    pub age: Duration,
    pub identity: &'a str,
    pub panic: Option<&'a Fallen>,
}

#[derive(Debug)]
struct Entry {
    message: &'static str,
    from: Option<Arc<str>>,
    to: Arc<str>,
    reason: DeadReason,
    age: Duration,
    at: SystemTime,
    count: u64,
    identity: String,
    panic: String,
    backtrace: String,
}

#[derive(Debug, Default)]
struct Ring {
    letters: VecDeque<Entry>,
    totals: BTreeMap<DeadReason, u64>,
    warned: RateLimit,
}

/// The ring, shared by all actors of a kernel.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    ring: Mutex<Ring>,
}

impl DeadLetters {
    pub(crate) fn record(&self, b: &Burial<'_>) {
        let mut ring = self.ring.lock();
        *ring.totals.entry(b.reason).or_default() += 1;
        // Expired questions are the asker's own decision, and it knows.
        if b.reason != DeadReason::Expired
            && let Some(more) = ring.warned.admit(Instant::now(), WARN_EVERY)
        {
            let (message, reason) = (short_name(b.message), b.reason.name());
            let from = b.from.map_or("", |f| f);
            tracing::warn!(message, from, to = %b.to, reason, more, "dead letter");
        }
        let like = |e: &&mut Entry| {
            e.reason == b.reason
                && e.message == b.message
                && e.to == *b.to
                && e.from.as_ref() == b.from
                && e.identity == b.identity
        };
        if let Some(e) = ring.letters.iter_mut().rev().take(LIKE).find(like) {
            e.count += 1;
            e.at = SystemTime::now();
            e.age = b.age;
            if let Some(fallen) = b.panic {
                e.panic.clone_from(&fallen.message);
            }
            return;
        }
        let poison = b.reason == DeadReason::Poison;
        let entry = Entry {
            message: b.message,
            from: b.from.cloned(),
            to: b.to.clone(),
            reason: b.reason,
            age: b.age,
            at: SystemTime::now(),
            count: 1,
            identity: b.identity.to_owned(),
            panic: b.panic.map(|f| f.message.clone()).unwrap_or_default(),
            backtrace: b
                .panic
                .filter(|_| poison)
                .map(|f| bounded(&f.backtrace, MAX_BACKTRACE))
                .unwrap_or_default(),
        };
        push_bounded(&mut ring.letters, entry, MAX_DEAD_LETTERS);
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<DeadLetter> {
        self.ring.lock().letters.iter().map(Entry::shown).collect()
    }

    pub(crate) fn totals(&self) -> BTreeMap<DeadReason, u64> {
        self.ring.lock().totals.clone()
    }
}

impl Entry {
    fn shown(&self) -> DeadLetter {
        DeadLetter {
            message: short_name(self.message),
            from: self.from.as_deref().unwrap_or_default().to_owned(),
            to: self.to.to_string(),
            reason: self.reason,
            age_us: super::stats::micros(self.age),
            at_ms: unix_ms(self.at),
            count: self.count,
            identity: self.identity.clone(),
            panic: self.panic.clone(),
            backtrace: self.backtrace.clone(),
        }
    }
}

pub(crate) fn unix_ms(t: SystemTime) -> u64 {
    t.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_counts_equal_letters() {
        let dead = DeadLetters::default();
        let bury = |to: &str| {
            let (to, reason, age) = (Arc::from(to), DeadReason::Full, Duration::ZERO);
            let (from, identity, panic) = (None, "", None);
            dead.record(&Burial {
                message: "a::Note",
                from,
                to: &to,
                reason,
                age,
                identity,
                panic,
            });
        };
        for _ in 0..1000 {
            bury("/a");
            bury("/b");
        }
        let all = dead.all();
        assert_eq!(all.iter().map(|d| d.count).collect::<Vec<_>>(), [1000, 1000]);
        assert_eq!(all[0].message, "Note");
        for n in 0..MAX_DEAD_LETTERS * 2 {
            bury(&n.to_string());
        }
        assert_eq!(dead.all().len(), MAX_DEAD_LETTERS);
        let total = 2000 + MAX_DEAD_LETTERS as u64 * 2;
        assert_eq!(dead.totals()[&DeadReason::Full], total);
    }
}
