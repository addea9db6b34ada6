//! What the harness saw: every operation with its times, every watch, and every change of the
//! store as the watches told it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::protocol::{Change, Ev, Rec};

/// Nanoseconds since the history began.
pub type Time = u64;
/// An operation whose end was not seen may end at any time.
pub const NEVER: Time = u64::MAX;

#[derive(Debug, Clone)]
pub struct Operation {
    pub invoked: Time,
    pub returned: Time,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Write {
        changes: Vec<Change>,
        outcome: Outcome,
    },
    Get {
        key: String,
        barrier: u64,
        rec: Option<Rec>,
    },
    /// `fresh`: behind a read barrier. Otherwise only what it shows is checked, not how old it is.
    List {
        prefix: String,
        revision: u64,
        records: Vec<Rec>,
        fresh: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Committed(Vec<u64>),
    Conflict { key: String, current: u64 },
    NotDone,
    Unknown,
}

/// One watch, from its beginning to its end.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub prefix: String,
    pub after: u64,
    pub events: Vec<(Time, Ev)>,
    /// Bookmarks: after so many events, this revision was called complete.
    pub bookmarks: Vec<(usize, u64)>,
    /// Ended with this answer of "compacted".
    pub compacted: Option<u64>,
}

impl Session {
    /// Where a next watch goes on.
    pub fn last(&self) -> u64 {
        let event = self.events.last().map_or(0, |(_, ev)| ev.rec.revision);
        let bookmark = self.bookmarks.last().map_or(0, |b| b.1);
        self.after.max(event).max(bookmark)
    }
}

/// Every change, as watches told it.
#[derive(Debug, Default)]
pub struct Truth {
    pub changes: BTreeMap<u64, Ev>,
    /// Every change up to here is known.
    pub known: u64,
}

#[derive(Debug)]
pub struct History {
    begun: Instant,
    numbers: AtomicU64,
    pub operations: Mutex<Vec<Operation>>,
    pub sessions: Mutex<Vec<Session>>,
    truth: Mutex<Truth>,
    /// Highest revision that was ever asked to be compacted.
    pub compacted: AtomicU64,
    pub violations: Mutex<Vec<String>>,
    pub faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            numbers: AtomicU64::new(1),
            operations: Mutex::default(),
            sessions: Mutex::default(),
            truth: Mutex::new(Truth { changes: BTreeMap::new(), known: 1 }),
            compacted: AtomicU64::new(0),
            violations: Mutex::default(),
            faults: Mutex::default(),
        }
    }
}

impl History {
    pub fn now(&self) -> Time {
        self.begun.elapsed().as_nanos() as Time
    }

    /// A value nobody wrote before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn record(&self, invoked: Time, returned: Time, what: What) {
        self.operations.lock().unwrap().push(Operation { invoked, returned, what });
    }

    pub fn violation(&self, text: String) {
        self.violations.lock().unwrap().push(text);
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// A watch told of a change: all must tell the same.
    pub fn offer(&self, ev: &Ev) {
        let mut truth = self.truth();
        match truth.changes.get(&ev.rec.revision) {
            None => {
                truth.changes.insert(ev.rec.revision, ev.clone());
                while truth.changes.contains_key(&(truth.known + 1)) {
                    truth.known += 1;
                }
            }
            Some(known) if known == ev => {}
            Some(known) => {
                let text = format!("one revision, two changes: {known:?} and {ev:?}");
                drop(truth);
                self.violation(text);
            }
        }
    }

    /// Count a fault and tell of it.
    pub fn fault(&self, name: &'static str, detail: &str) {
        *self.faults.lock().unwrap().entry(name).or_default() += 1;
        println!("{:>8.3} {name} {detail}", self.begun.elapsed().as_secs_f64());
    }

    pub fn note(&self, text: &str) {
        println!("{:>8.3} ({text})", self.begun.elapsed().as_secs_f64());
    }
}

/// What clients last saw of each key, to write with a revision that is often right.
pub type Seen = HashMap<String, u64>;
