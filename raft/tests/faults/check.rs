//! The checks: everything the harness saw must fit one order of changes, the revisions', and real
//! time.
//!
//! Every change carries its revision, so the order of writes need not be searched for: a write must
//! be after all that ended before it began and before all that began after it ended, and a read
//! must show what is there at some revision between the same two bounds. With the smallest such
//! revision for each read, taken in the order in which operations began, this is exact.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
};

use crate::{
    history::{History, NEVER, Operation, Outcome, Session, Time, What},
    protocol::{BROKEN, Change, Dump, Ev, Rec},
};

/// All versions of one key: revision, and the record or its absence.
type Versions = Vec<(u64, Option<Rec>)>;

/// The one order of all changes, ready to be asked.
pub struct Order {
    pub changes: BTreeMap<u64, Ev>,
    keys: BTreeMap<String, Versions>,
    last: u64,
}

impl Order {
    fn new(changes: BTreeMap<u64, Ev>) -> Self {
        let mut keys: BTreeMap<String, Versions> = BTreeMap::new();
        for (revision, ev) in &changes {
            let now = (!ev.delete).then(|| ev.rec.clone());
            keys.entry(ev.rec.key.clone()).or_default().push((*revision, now));
        }
        let last = changes.keys().next_back().copied().unwrap_or(1);
        Self { changes, keys, last }
    }

    fn versions(&self, key: &str) -> &[(u64, Option<Rec>)] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// What a key is at a revision.
    fn at(&self, key: &str, revision: u64) -> Option<&Rec> {
        let versions = self.versions(key);
        let n = versions.partition_point(|(r, _)| *r <= revision);
        versions[..n].last()?.1.as_ref()
    }

    /// What a list shows at a revision.
    fn list(&self, prefix: &str, revision: u64) -> Vec<&Rec> {
        let keys = self.keys.range(prefix.to_owned()..).take_while(|(k, _)| k.starts_with(prefix));
        keys.filter_map(|(key, _)| self.at(key, revision)).collect()
    }

    /// The smallest revision in `low..=high` at which a key satisfies `fits`.
    fn find(
        &self,
        key: &str,
        (low, high): (u64, u64),
        fits: impl Fn(Option<&Rec>) -> bool,
    ) -> Option<u64> {
        let versions = self.versions(key);
        let mut from = 1;
        let mut now: Option<&Rec> = None;
        for (revision, next) in
            versions.iter().map(|(r, n)| (*r, n.as_ref())).chain([(NEVER, None)])
        {
            let (begin, end) = (from.max(low), (revision - 1).min(high));
            if begin <= end && fits(now) {
                return Some(begin);
            }
            (from, now) = (revision, next);
        }
        None
    }
}

struct Checker<'a> {
    order: &'a Order,
    found: Vec<String>,
    /// Of the writes in the order: when they began, and the smallest revision of this and all later.
    begun: Vec<(Time, u64)>,
}

/// At which revision each change took effect: writes by their value, deletions by what they delete.
#[derive(Default)]
struct Effects {
    puts: HashMap<u64, u64>,
    deletes: HashMap<(String, u64), u64>,
}

impl Effects {
    fn of(&self, change: &Change) -> Option<u64> {
        match change.value {
            Some(value) => self.puts.get(&value).copied(),
            None => self.deletes.get(&(change.key.clone(), change.expect)).copied(),
        }
    }
}

/// Every violation in a history; `finals` are the members' contents in the end.
pub fn check(history: &History, finals: &[Dump]) -> Vec<String> {
    let changes = history.truth().changes.clone();
    let order = Order::new(changes);
    let mut operations = history.operations.lock().unwrap().clone();
    operations.sort_by_key(|o| o.invoked);
    let mut checker = Checker {
        order: &order,
        found: history.violations.lock().unwrap().clone(),
        begun: Vec::new(),
    };
    checker.whole(history.truth().known);
    checker.writes(&operations);
    let sessions = history.sessions.lock().unwrap();
    checker.real_time(&operations, &sessions);
    for session in sessions.iter() {
        checker.session(session);
    }
    for (n, dump) in finals.iter().enumerate() {
        checker.dump(n, dump);
    }
    checker.found
}

impl Checker<'_> {
    fn fail(&mut self, text: String) {
        self.found.push(text);
    }

    /// One clock for everything: no revision is missing, and each change follows from the one
    /// before of its key.
    fn whole(&mut self, known: u64) {
        if known != self.order.last {
            self.fail(format!("revision {} was never seen, {} was", known + 1, self.order.last));
        }
        let order = self.order;
        for (revision, ev) in &order.changes {
            let before = order.at(&ev.rec.key, revision - 1);
            let previous = before.map_or(0, |r| r.revision);
            let create = before.map_or(*revision, |r| r.create);
            if ev.previous != previous || ev.rec.create != create || ev.rec.value == BROKEN {
                self.fail(format!("{ev:?} does not follow from {before:?}"));
            }
            if ev.delete && before.is_none_or(|b| b.value != ev.rec.value) {
                self.fail(format!("{ev:?} deletes {before:?}"));
            }
        }
    }

    /// What took effect; each write once.
    fn effects(&mut self) -> Effects {
        let mut effects = Effects::default();
        for (revision, ev) in &self.order.changes {
            if ev.delete {
                effects.deletes.insert((ev.rec.key.clone(), ev.previous), *revision);
            } else if let Some(other) = effects.puts.insert(ev.rec.value, *revision) {
                self.found.push(format!(
                    "one write took effect twice, at {other} and {revision}: {ev:?}"
                ));
            }
        }
        effects
    }

    /// Every change was asked for, once, and its condition held; every acknowledged write is there.
    fn writes(&mut self, operations: &[Operation]) {
        let order = self.order;
        let effects = self.effects();
        let mut explained = HashSet::new();
        let mut begun = Vec::new();
        for operation in operations {
            let What::Write { changes, outcome } = &operation.what else { continue };
            let found: Vec<_> = changes.iter().map(|change| effects.of(change)).collect();
            let revisions: Vec<u64> = found.iter().flatten().copied().collect();
            let puts_only = changes.iter().all(|c| c.value.is_some());
            match outcome {
                Outcome::Committed(acked) if *acked != revisions => {
                    self.fail(format!("acknowledged, but now at {found:?}: {operation:?}"));
                    continue;
                }
                Outcome::Conflict { .. } | Outcome::NotDone => {
                    // A delete may be another client's; a number is one write's own.
                    if changes.iter().zip(&found).any(|(c, f)| c.value.is_some() && f.is_some()) {
                        self.fail(format!("not written, but at {found:?}: {operation:?}"));
                    }
                    continue;
                }
                Outcome::Unknown if puts_only && found != vec![None; found.len()] => {
                    let together = revisions.windows(2).all(|w| w[0] + 1 == w[1]);
                    if revisions.len() != changes.len() || !together {
                        self.fail(format!("written in parts, at {found:?}: {operation:?}"));
                    }
                }
                _ => {}
            }
            for (change, revision) in changes.iter().zip(&found) {
                let Some(revision) = revision else { continue };
                let known = !explained.insert(*revision);
                if known && *outcome == Outcome::Unknown {
                    // Several clients may ask for one deletion: the first may have done it.
                    continue;
                }
                begun.push((operation.invoked, *revision));
                // Within one transaction the conditions are looked at before its first change.
                let first = revisions.first().copied().unwrap_or(*revision);
                let before = order.at(&change.key, first - 1).map_or(0, |r| r.revision);
                if before != change.expect {
                    self.fail(format!(
                        "written at {revision} although the key was at {before}: {operation:?}"
                    ));
                }
            }
        }
        for (revision, ev) in &order.changes {
            if !explained.contains(revision) {
                self.fail(format!("nobody wrote {ev:?}"));
            }
        }
        begun.sort_unstable();
        let mut smallest = u64::MAX;
        for entry in begun.iter_mut().rev() {
            smallest = smallest.min(entry.1);
            entry.1 = smallest;
        }
        self.begun = begun;
    }

    /// The highest revision that can have been there at this time.
    fn bound(&self, time: Time) -> u64 {
        let later = self.begun.partition_point(|(begun, _)| *begun <= time);
        self.begun.get(later).map_or(u64::MAX, |(_, smallest)| smallest - 1)
    }

    fn real_time(&mut self, operations: &[Operation], sessions: &[Session]) {
        let mut ended: BinaryHeap<Reverse<(Time, u64)>> = BinaryHeap::new();
        for session in sessions {
            ended.extend(session.events.iter().map(|(at, ev)| Reverse((*at, ev.rec.revision))));
        }
        let mut low = 1;
        for operation in operations {
            while let Some(Reverse((at, revision))) = ended.peek().copied()
                && at < operation.invoked
            {
                ended.pop();
                low = low.max(revision);
            }
            let bounds = (low, self.bound(operation.returned));
            match self.place(operation, bounds) {
                Ok(revision) => ended.push(Reverse((operation.returned, revision))),
                Err(why) => self.fail(format!("{why}, within {bounds:?}: {operation:?}")),
            }
        }
    }

    /// The revision at which an operation took place.
    fn place(&self, operation: &Operation, (low, high): (u64, u64)) -> Result<u64, String> {
        let order = self.order;
        match &operation.what {
            What::Write { outcome: Outcome::Committed(revisions), .. } => {
                let (first, last) = (revisions[0], revisions[revisions.len() - 1]);
                if first <= low || last > high {
                    return Err("written in the past or future".into());
                }
                Ok(last)
            }
            What::Write { changes, outcome: Outcome::Conflict { key, current } } => {
                if !changes.iter().any(|c| c.key == *key && c.expect != *current) {
                    return Err("no conflict".into());
                }
                let fits = |r: Option<&Rec>| r.map_or(0, |r| r.revision) == *current;
                order.find(key, (low, high), fits).ok_or_else(|| "a conflict with nothing".into())
            }
            What::Write { .. } => Ok(1),
            What::Get { key, barrier, rec } => {
                if *barrier < low || *barrier > high {
                    return Err("the read barrier is stale".into());
                }
                let placed = order.find(key, (*barrier, high), |r| r == rec.as_ref());
                placed.ok_or_else(|| "a stale or wrong read".into())
            }
            What::List { prefix, revision, records, fresh } => {
                if (*fresh && *revision < low) || *revision > high.max(1) {
                    return Err("a stale list".into());
                }
                let expected = order.list(prefix, *revision);
                if !records.iter().eq(expected) {
                    return Err("a wrong list".into());
                }
                Ok(if *fresh { *revision } else { 1 })
            }
        }
    }

    /// Ordered, complete, without duplicates, and bookmarks are true.
    fn session(&mut self, session: &Session) {
        let last = session.events.last().map_or(session.after, |(_, ev)| ev.rec.revision);
        let complete = session.bookmarks.last().map_or(last, |b| b.1.max(last));
        let expected: Vec<&Ev> = match session.after + 1..=complete {
            range if range.is_empty() => Vec::new(),
            range => {
                let events = self.order.changes.range(range).map(|(_, ev)| ev);
                events.filter(|ev| ev.rec.key.starts_with(&session.prefix)).collect()
            }
        };
        let seen: Vec<&Ev> = session.events.iter().map(|(_, ev)| ev).collect();
        if seen != expected {
            let at = seen.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            self.fail(format!(
                "a watch of {} after {} up to {complete}: {} changes instead of {}, at first {:?} \
                 instead of {:?}",
                session.prefix,
                session.after,
                seen.len(),
                expected.len(),
                seen.get(at),
                expected.get(at)
            ));
        }
        for (count, bookmark) in &session.bookmarks {
            if session.events.get(*count).is_some_and(|(_, ev)| ev.rec.revision <= *bookmark) {
                self.fail(format!("bookmark {bookmark} was too early in {}", session.prefix));
            }
        }
    }

    /// A member holds exactly what the order says.
    fn dump(&mut self, n: usize, dump: &Dump) {
        let order = self.order;
        if dump.revision != order.last {
            self.fail(format!("member {n} is at {}, not at {}", dump.revision, order.last));
        }
        if !dump.records.iter().eq(order.list("", dump.revision)) {
            let expected = order.list("", dump.revision);
            let odd = dump.records.iter().find(|r| !expected.contains(r));
            let missing = expected.iter().find(|r| !dump.records.contains(r));
            self.fail(format!("member {n} has {odd:?} and lacks {missing:?}"));
        }
        let expected = order.changes.range(dump.compacted + 1..).map(|(_, ev)| ev);
        if !dump.events.iter().eq(expected) {
            self.fail(format!("member {n} has another history since {}", dump.compacted));
        }
    }
}
