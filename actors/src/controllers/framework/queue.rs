//! The work queue: which keys are due, under way, waiting or set aside. Knows no clock and no I/O.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::controller::{
    BACKOFF_MAX, BACKOFF_MIN, BLAMELESS_MAX, Key, MAX_FAILURES, MAX_PANICS, QUARANTINE,
};

/// Rows of failing keys shown by [`WorkQueue::inspect`].
const MAX_SHOWN: usize = 50;
/// Rows of the delay queue that no longer count before they are swept out.
const MAX_STALE: usize = 4096;
/// A change brings a failing key forward to this long from now, not to at once: what changes may be
/// the consequence of the failure.
const BROUGHT_FORWARD: Duration = Duration::from_secs(1);

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All commands were carried out; look again after a time, if given.
    Done(Option<Duration>),
    /// Somebody changed the object meanwhile: decide again soon, this is no failure.
    Conflict,
    /// The store was out of reach: no failure of the object either.
    Unreachable(String),
    /// A command was refused, or the object cannot be worked on.
    Failed(String),
    /// The decision panicked.
    Panicked(String),
}

#[derive(Default)]
struct Entry {
    /// In `ready`.
    queued: bool,
    /// Handed out and not finished.
    running: bool,
    /// Changed while running.
    dirty: bool,
    /// Attempts in a row that did not get through, for whatever reason.
    attempts: u32,
    failures: u32,
    panics: u32,
    error: String,
    /// Not before this time, whatever changes.
    held_until: Option<Instant>,
    /// The delayed entry that counts; others in the heap are stale.
    due: Option<Instant>,
}

/// Keys with de-duplication, back-off and quarantine. A key is with at most one worker.
#[derive(Default)]
pub struct WorkQueue {
    ready: VecDeque<Key>,
    delayed: BinaryHeap<Reverse<(Instant, Key)>>,
    entries: HashMap<Key, Entry>,
    quarantined: u64,
}

impl WorkQueue {
    /// Something changed for `key`. A key in back-off is brought forward, unless it is quarantined:
    /// the change may be what it waits for.
    pub fn add(&mut self, key: Key, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.running {
            entry.dirty = true;
            return;
        }
        if entry.queued || entry.held_until.is_some_and(|until| until > now) {
            return;
        }
        if entry.attempts > 0
            && let Some(due) = entry.due
        {
            let soon = now + BROUGHT_FORWARD;
            if due > soon {
                self.delay(&key, soon);
            }
            return;
        }
        entry.queued = true;
        entry.due = None;
        self.ready.push_back(key);
    }

    /// Takes the next key that is due.
    pub fn take(&mut self, now: Instant) -> Option<Key> {
        self.promote(now);
        let key = self.ready.pop_front()?;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.queued = false;
        entry.running = true;
        entry.dirty = false;
        entry.due = None;
        Some(key)
    }

    /// An attempt ended. Returns whether the key was quarantined by it.
    pub fn finish(&mut self, key: Key, outcome: Outcome, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        entry.running = false;
        let dirty = std::mem::take(&mut entry.dirty);
        let mut set_aside = false;
        let mut longest = BACKOFF_MAX;
        entry.attempts += 1;
        match outcome {
            Outcome::Done(again) => {
                *entry = Entry::default();
                match again {
                    Some(delay) => self.delay(&key, now + delay),
                    None if !dirty => drop(self.entries.remove(&key)),
                    None => {}
                }
            }
            Outcome::Conflict => longest = BLAMELESS_MAX,
            Outcome::Unreachable(error) => {
                longest = BLAMELESS_MAX;
                entry.error = error;
            }
            Outcome::Failed(error) => {
                entry.failures += 1;
                entry.error = error;
                set_aside = entry.failures >= MAX_FAILURES;
            }
            Outcome::Panicked(error) => {
                entry.failures += 1;
                entry.panics += 1;
                entry.error = error;
                set_aside = entry.panics >= MAX_PANICS;
            }
        }
        if let Some(entry) = self.entries.get_mut(&key)
            && entry.attempts > 0
        {
            let delay = if set_aside { QUARANTINE } else { backoff(entry.attempts).min(longest) };
            if set_aside {
                entry.held_until = Some(now + delay);
                self.quarantined += 1;
            }
            self.delay(&key, now + delay);
        } else if dirty {
            self.add(key, now);
        }
        set_aside
    }

    /// When the next delayed key is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse((at, _))| *at)
    }

    /// Whether a key is due now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sizes, and the keys that fail.
    pub fn inspect(&self) -> Value {
        let failing: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, e)| e.attempts > 0)
            .take(MAX_SHOWN)
            .map(|(key, e)| {
                json!({"key": key.to_string(), "attempts": e.attempts, "failures": e.failures,
                    "panics": e.panics,
                    "quarantined": e.held_until.is_some(), "error": e.error})
            })
            .collect();
        json!({
            "ready": self.ready.len(),
            "running": self.entries.values().filter(|e| e.running).count(),
            "delayed": self.entries.values().filter(|e| e.due.is_some()).count(),
            "quarantinedTotal": self.quarantined,
            "failing": failing,
        })
    }

    fn delay(&mut self, key: &Key, at: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.due = Some(at);
        self.delayed.push(Reverse((at, key.clone())));
        if self.delayed.len() > self.entries.len() + MAX_STALE {
            let entries = &self.entries;
            self.delayed.retain(|Reverse((at, key))| {
                entries.get(key).is_some_and(|entry| entry.due == Some(*at))
            });
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(Reverse((at, _))) = self.delayed.peek()
            && *at <= now
        {
            let Some(Reverse((at, key))) = self.delayed.pop() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            // An entry that was brought forward or delayed anew leaves a stale row behind.
            if entry.due != Some(at) || entry.queued || entry.running {
                continue;
            }
            entry.due = None;
            entry.queued = true;
            self.ready.push_back(key);
        }
    }
}

/// Exponential from [`BACKOFF_MIN`] to [`BACKOFF_MAX`].
fn backoff(failures: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[test]
    fn one_worker_per_key_and_a_change_meanwhile_is_not_lost() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(key("a"), now);
        queue.add(key("a"), now);
        assert_eq!(queue.take(now), Some(key("a")));
        assert_eq!(queue.take(now), None);
        queue.add(key("a"), now);
        assert_eq!(queue.take(now), None, "still with a worker");
        queue.finish(key("a"), Outcome::Done(None), now);
        assert_eq!(queue.take(now), Some(key("a")));
        queue.finish(key("a"), Outcome::Done(None), now);
        assert_eq!(queue.take(now), None);
        assert!(queue.entries.is_empty(), "nothing is remembered about a finished key");
    }

    #[test]
    fn failures_back_off_and_changes_bring_them_forward() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(key("a"), now);
        queue.take(now);
        queue.finish(key("a"), Outcome::Failed("no".into()), now);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.take(now + BACKOFF_MIN), Some(key("a")));
        queue.finish(key("a"), Outcome::Failed("no".into()), now);
        assert_eq!(queue.take(now + BACKOFF_MIN), None, "twice as long now");
        for _ in 0..12 {
            queue.take(now + BACKOFF_MAX * 3);
            queue.finish(key("a"), Outcome::Failed("no".into()), now);
        }
        assert_eq!(queue.take(now + BROUGHT_FORWARD), None);
        queue.add(key("a"), now);
        assert_eq!(queue.take(now), None, "not at once");
        assert_eq!(queue.take(now + BROUGHT_FORWARD), Some(key("a")));
        queue.finish(key("a"), Outcome::Done(None), now);
        assert_eq!(queue.take(now + BACKOFF_MAX), None, "stale delay is ignored");
    }

    #[test]
    fn panics_lead_to_quarantine_that_changes_do_not_end() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        for strike in 1..=MAX_PANICS {
            queue.add(key("bad"), now);
            assert_eq!(queue.take(now + BACKOFF_MAX), Some(key("bad")));
            let aside = queue.finish(key("bad"), Outcome::Panicked("boom".into()), now);
            assert_eq!(aside, strike == MAX_PANICS);
        }
        queue.add(key("bad"), now);
        queue.add(key("good"), now);
        assert_eq!(queue.take(now), Some(key("good")));
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.inspect()["failing"][0]["quarantined"], true);
        assert_eq!(queue.take(now + QUARANTINE), Some(key("bad")));
    }

    #[test]
    fn an_object_is_not_blamed_for_rivals_and_outages() {
        let mut now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(key("a"), now);
        for turn in 0..MAX_FAILURES * 3 {
            now += BLAMELESS_MAX;
            assert_eq!(queue.take(now), Some(key("a")), "attempt {turn}");
            let outcome = match turn % 2 {
                0 => Outcome::Conflict,
                _ => Outcome::Unreachable("no quorum".into()),
            };
            assert!(!queue.finish(key("a"), outcome, now), "set aside");
        }
    }

    #[test]
    fn requeue_and_change_while_running() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        queue.add(key("a"), now);
        queue.take(now);
        queue.add(key("a"), now);
        queue.finish(key("a"), Outcome::Done(Some(Duration::from_secs(5))), now);
        assert!(queue.has_ready());
        assert_eq!(queue.take(now), Some(key("a")), "the change comes first");
        queue.finish(key("a"), Outcome::Done(Some(Duration::from_secs(9))), now);
        assert_eq!(queue.take(now + Duration::from_secs(8)), None);
        assert_eq!(queue.take(now + Duration::from_secs(9)), Some(key("a")));
    }

    #[test]
    fn stale_delays_do_not_pile_up() {
        let now = Instant::now();
        let mut queue = WorkQueue::default();
        for n in 0..3 * MAX_STALE {
            queue.add(key("a"), now);
            queue.take(now);
            let later = Duration::from_secs(600) + Duration::from_nanos(n as u64);
            queue.finish(key("a"), Outcome::Done(Some(later)), now);
        }
        assert!(queue.delayed.len() <= MAX_STALE + 1);
        assert_eq!(queue.take(now + Duration::from_secs(601)), Some(key("a")));
    }

    #[test]
    fn backoff_is_bounded() {
        assert_eq!(backoff(1), BACKOFF_MIN);
        assert_eq!(backoff(2), BACKOFF_MIN * 2);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
