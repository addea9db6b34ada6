//! What is written down of an actor's deaths and restarts: bounded rings, oldest first.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::dead_letter::unix_ms;

/// Panics kept per actor.
pub const MAX_PANICS: usize = 20;
/// Restarts kept per actor.
pub const MAX_RESTARTS: usize = 20;
/// Longest reason of a restart kept, bytes.
const MAX_WHY: usize = 256;

/// One panic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PanicRecord {
    /// The panic's text.
    pub message: String,
    /// `file:line:column`.
    pub location: String,
    /// Bounded.
    pub backtrace: String,
    /// Message type being handled; empty for `create`, `started` and async parts.
    pub handling: String,
    /// Which life of the actor it ended.
    pub incarnation: u64,
    /// Unix time, ms.
    pub at_ms: u64,
}

/// Why an actor was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub enum RestartReason {
    /// It panicked.
    #[default]
    Panic,
    /// The same letter made it panic at least twice in a row.
    Poison,
    /// `create` or `started` failed.
    DidNotStart,
    /// A permanent child called `ctx.stop()`.
    StoppedItself,
    /// Its children failed too often.
    ChildrenFailed,
    /// A sibling or the supervisor failed and it shares its fate.
    Group,
    /// An operator ordered it.
    Ordered,
}

impl RestartReason {
    /// All of them, in the order of [`RestartCounts`].
    pub const ALL: [Self; 7] = [
        Self::Panic,
        Self::Poison,
        Self::DidNotStart,
        Self::StoppedItself,
        Self::ChildrenFailed,
        Self::Group,
        Self::Ordered,
    ];

    /// As it stands in metrics and texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Poison => "poison",
            Self::DidNotStart => "did-not-start",
            Self::StoppedItself => "stopped-itself",
            Self::ChildrenFailed => "children-failed",
            Self::Group => "group",
            Self::Ordered => "ordered",
        }
    }
}

/// One restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartRecord {
    /// Why.
    pub reason: RestartReason,
    /// In words; the panic's text where there was one.
    pub why: String,
    /// Which life it ended.
    pub incarnation: u64,
    /// How long the actor waits before the next life, ms; 0 where its supervisor says when.
    pub backoff_ms: u64,
    /// Unix time, ms.
    pub at_ms: u64,
}

/// Restarts by reason, in the order of [`RestartReason::ALL`].
pub(crate) type RestartCounts = [u64; RestartReason::ALL.len()];

/// The restarts of one actor.
#[derive(Debug, Default)]
pub(crate) struct RestartLog {
    last: VecDeque<RestartRecord>,
    counts: RestartCounts,
}

impl RestartLog {
    pub(crate) fn note(&mut self, reason: RestartReason, why: &str, life: u64, wait: Duration) {
        self.counts[reason as usize] += 1;
        let mut end = why.len().min(MAX_WHY);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        let record = RestartRecord {
            reason,
            why: why[..end].to_owned(),
            incarnation: life,
            backoff_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            at_ms: unix_ms(SystemTime::now()),
        };
        push_bounded(&mut self.last, record, MAX_RESTARTS);
    }

    pub(crate) fn last(&self) -> Vec<RestartRecord> {
        self.last.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> RestartCounts {
        self.counts
    }
}

/// Puts `item` at the end of a ring of at most `limit`.
pub(crate) fn push_bounded<T>(ring: &mut VecDeque<T>, item: T, limit: usize) {
    while ring.len() >= limit {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_counts_by_reason() {
        let mut log = RestartLog::default();
        for n in 0..MAX_RESTARTS as u64 * 3 {
            log.note(RestartReason::Group, &"é".repeat(MAX_WHY), n, Duration::from_millis(50));
        }
        let kept = log.last();
        assert_eq!(kept.len(), MAX_RESTARTS);
        assert_eq!(kept[0].incarnation, MAX_RESTARTS as u64 * 2);
        assert!(kept[0].why.len() <= MAX_WHY);
        for (at, reason) in RestartReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        assert_eq!(log.counts()[RestartReason::Group as usize], MAX_RESTARTS as u64 * 3);
    }
}
