//! Counts and times per message type, and the ring of what was handled last.

use std::{
    any::TypeId,
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::record::push_bounded;

/// Message types counted apart for one actor; further ones share the entry "other".
const MAX_TYPES: usize = 64;
/// Entries of the ring of last handled messages.
const RECENT: usize = 32;
/// Power-of-two buckets: below 1 µs, 2 µs, … the last is everything above 1 s.
const BUCKETS: usize = 21;

/// The part of a type's name a person recognises: no module paths, generics kept.
pub(crate) fn short_name(full: &str) -> String {
    let mut out = String::with_capacity(full.len());
    let mut word = String::new();
    for c in full.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else if c == ':' {
            word.clear();
        } else {
            out.push_str(&word);
            word.clear();
            out.push(c);
        }
    }
    out.push_str(&word);
    out
}

/// Times counted in power-of-two buckets.
pub(crate) type Histogram = [u64; BUCKETS];

/// One message type's record. Narrow counters: there is one of these per pod worker and type.
#[derive(Debug)]
pub(crate) struct TypeStats {
    id: Option<TypeId>,
    name: &'static str,
    count: u64,
    busy: Duration,
    max: Duration,
    queued: Duration,
    buckets: [u32; BUCKETS],
    queue_buckets: [u32; BUCKETS],
}

/// Counts and times of one message type, to be summed over actors.
#[derive(Debug, Clone, Default)]
pub(crate) struct MessageTotals {
    pub count: u64,
    pub busy: Duration,
    pub queued: Duration,
    pub handle_times: Histogram,
    pub queue_times: Histogram,
}

/// All of one actor's message counts. One writer, read on request.
#[derive(Debug, Default)]
pub(crate) struct MessageStats {
    types: Vec<TypeStats>,
    recent: VecDeque<(&'static str, Duration)>,
}

/// Counts and times of one message type, for the snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageSnapshot {
    /// Short type name.
    pub message: String,
    /// Letters handled.
    pub count: u64,
    /// Time in the handler in total, µs.
    pub busy_us: u64,
    /// Upper bound of the 99th percentile of one handling, µs.
    pub p99_us: u64,
    /// Longest handling, µs.
    pub max_us: u64,
    /// Time spent waiting in the mailbox in total, µs.
    pub queued_us: u64,
    /// Upper bound of the 99th percentile of one wait, µs.
    #[serde(default)]
    pub queued_p99_us: u64,
}

/// One entry of the ring of last handled messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentMessage {
    /// Short type name.
    pub message: String,
    /// Time in the handler, µs.
    pub took_us: u64,
}

impl MessageStats {
    pub(crate) fn record(
        &mut self,
        id: TypeId,
        name: &'static str,
        took: Duration,
        queued: Duration,
    ) {
        let at = match self.types.iter().position(|t| t.id == Some(id)) {
            Some(at) => at,
            None => self.add(id, name),
        };
        let t = &mut self.types[at];
        t.count += 1;
        t.busy += took;
        t.queued += queued;
        t.max = t.max.max(took);
        for (buckets, time) in [(&mut t.buckets, took), (&mut t.queue_buckets, queued)] {
            let n = &mut buckets[bucket(time)];
            *n = n.saturating_add(1);
        }
        push_bounded(&mut self.recent, (name, took), RECENT);
    }

    fn add(&mut self, id: TypeId, name: &'static str) -> usize {
        let entry = |id, name| TypeStats {
            id,
            name,
            count: 0,
            busy: Duration::ZERO,
            max: Duration::ZERO,
            queued: Duration::ZERO,
            buckets: [0; BUCKETS],
            queue_buckets: [0; BUCKETS],
        };
        if self.types.len() < MAX_TYPES {
            self.types.push(entry(Some(id), name));
        } else if self.types.len() == MAX_TYPES {
            self.types.push(entry(None, "other"));
        }
        self.types.len() - 1
    }

    pub(crate) fn handled(&self) -> u64 {
        self.types.iter().map(|t| t.count).sum()
    }

    pub(crate) fn busy(&self) -> Duration {
        self.types.iter().map(|t| t.busy).sum()
    }

    pub(crate) fn snapshot(&self) -> Vec<MessageSnapshot> {
        self.types
            .iter()
            .map(|t| MessageSnapshot {
                message: short_name(t.name),
                count: t.count,
                busy_us: micros(t.busy),
                p99_us: percentile_us(&t.buckets.map(u64::from), 99),
                max_us: micros(t.max),
                queued_us: micros(t.queued),
                queued_p99_us: percentile_us(&t.queue_buckets.map(u64::from), 99),
            })
            .collect()
    }

    pub(crate) fn totals(&self) -> impl Iterator<Item = (&'static str, MessageTotals)> {
        self.types.iter().map(|t| {
            let totals = MessageTotals {
                count: t.count,
                busy: t.busy,
                queued: t.queued,
                handle_times: t.buckets.map(u64::from),
                queue_times: t.queue_buckets.map(u64::from),
            };
            (t.name, totals)
        })
    }

    pub(crate) fn recent(&self) -> Vec<RecentMessage> {
        self.recent
            .iter()
            .map(|(name, took)| RecentMessage { message: short_name(name), took_us: micros(*took) })
            .collect()
    }
}

pub(crate) fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

fn bucket(d: Duration) -> usize {
    let us = micros(d);
    ((u64::BITS - us.leading_zeros()) as usize).min(BUCKETS - 1)
}

pub(crate) fn percentile_us(buckets: &Histogram, percent: u64) -> u64 {
    let total: u64 = buckets.iter().sum();
    let wanted = (total * percent).div_ceil(100);
    let mut seen = 0;
    for (i, n) in buckets.iter().enumerate() {
        seen += n;
        if seen >= wanted && total > 0 {
            return 1 << i;
        }
    }
    0
}

/// Lets one event through per interval and counts the others.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    /// Some(number held back since the last one) when this event may be logged.
    pub(crate) fn admit(&mut self, now: Instant, every: Duration) -> Option<u64> {
        if self.last.is_some_and(|t| now.duration_since(t) < every) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_paths_only() {
        assert_eq!(short_name("kabuki_actors::kernel::Ping"), "Ping");
        assert_eq!(short_name("a::b::Wrap<c::d::Inner, u8>"), "Wrap<Inner, u8>");
        assert_eq!(short_name("(a::B, &c::D)"), "(B, &D)");
    }

    #[test]
    fn percentiles_and_types_are_bounded() {
        struct A;
        let mut s = MessageStats::default();
        for i in 0..100 {
            let took = Duration::from_micros(if i == 0 { 100_000 } else { 3 });
            s.record(TypeId::of::<A>(), "A", took, Duration::ZERO);
        }
        let snap = s.snapshot();
        assert_eq!(snap[0].count, 100);
        assert_eq!(snap[0].p99_us, 4);
        assert_eq!(snap[0].max_us, 100_000);
        assert_eq!(s.recent().len(), RECENT);
    }

    #[test]
    fn rate_limit_counts_what_it_holds_back() {
        let t = Instant::now();
        let mut r = RateLimit::default();
        assert_eq!(r.admit(t, Duration::from_secs(1)), Some(0));
        assert_eq!(r.admit(t, Duration::from_secs(1)), None);
        assert_eq!(r.admit(t + Duration::from_secs(2), Duration::from_secs(1)), Some(1));
    }
}
