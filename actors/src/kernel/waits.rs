//! Who waits for whom, and the cycles in it: actors that ask each other wait for ever.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    cell::Cell,
    current::current_cell,
    stats::{micros, short_name},
};

/// Waits listed per actor; further ones are not shown.
pub const MAX_WAITS: usize = 64;
/// Cycles shown.
pub const MAX_CYCLES: usize = 16;
/// Younger waits are no part of a cycle: every question waits for its answer for a moment.
pub const CYCLE_AGE: Duration = Duration::from_millis(100);

/// What an actor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitKind {
    /// An answer.
    Ask,
    /// Room in a full mailbox.
    Room,
}

/// One thing an actor, or work it has offloaded, waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitSnapshot {
    /// Path of the other actor.
    pub target: String,
    /// For what.
    pub kind: WaitKind,
    /// Message type.
    pub message: String,
    /// Since when, µs ago.
    pub for_us: u64,
}

/// Actors each of which waits for the next, and the last for the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitCycle {
    /// Their paths.
    pub paths: Vec<String>,
    /// How long all of them have waited, ms.
    pub for_ms: u64,
}

#[derive(Debug)]
struct Wait {
    target: Arc<str>,
    kind: WaitKind,
    message: &'static str,
    since: Instant,
}

/// The waits of one actor.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    next: u64,
    open: BTreeMap<u64, Wait>,
}

/// Takes a wait off the list when dropped.
pub(crate) struct Waiting {
    cell: Arc<Cell>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cell.waits.lock().open.remove(&self.id);
    }
}

/// Notes that the actor this thread plays now waits for `target`; None outside of actors.
pub(crate) fn waiting(target: &Arc<str>, kind: WaitKind, message: &'static str) -> Option<Waiting> {
    let cell = current_cell()?;
    let id = {
        let mut waits = cell.waits.lock();
        if waits.open.len() >= MAX_WAITS {
            return None;
        }
        let id = waits.next;
        waits.next += 1;
        let wait = Wait { target: target.clone(), kind, message, since: Instant::now() };
        waits.open.insert(id, wait);
        id
    };
    Some(Waiting { cell, id })
}

impl Waits {
    pub(crate) fn snapshot(&self) -> Vec<WaitSnapshot> {
        self.open
            .values()
            .map(|w| WaitSnapshot {
                target: w.target.to_string(),
                kind: w.kind,
                message: short_name(w.message),
                for_us: micros(w.since.elapsed()),
            })
            .collect()
    }
}

/// Cycles seen, so that each is counted once while it lasts.
#[derive(Debug, Default)]
pub(crate) struct Cycles(Mutex<(BTreeSet<Vec<String>>, u64)>);

impl Cycles {
    /// Finds the cycles among the waits of these actors.
    pub(crate) fn look(&self, waits: &[(String, Vec<WaitSnapshot>)]) -> Vec<WaitCycle> {
        let found = find(waits);
        let now: BTreeSet<Vec<String>> = found.iter().map(|c| c.paths.clone()).collect();
        let mut known = self.0.lock();
        for paths in now.difference(&known.0) {
            tracing::warn!(?paths, "actors wait for each other");
        }
        known.1 += now.difference(&known.0).count() as u64;
        known.0 = now;
        found
    }

    pub(crate) fn counted(&self) -> u64 {
        self.0.lock().1
    }
}

fn find(waits: &[(String, Vec<WaitSnapshot>)]) -> Vec<WaitCycle> {
    let old = micros(CYCLE_AGE);
    let mut edges: HashMap<&str, Vec<(&str, u64)>> = HashMap::new();
    for (path, all) in waits {
        for w in all.iter().filter(|w| w.for_us >= old) {
            edges.entry(path).or_default().push((&w.target, w.for_us));
        }
    }
    let mut search = Search { edges, done: BTreeSet::new(), way: Vec::new(), found: Vec::new() };
    for (path, _) in waits {
        search.visit(path);
    }
    search.found
}

struct Search<'a> {
    edges: HashMap<&'a str, Vec<(&'a str, u64)>>,
    done: BTreeSet<&'a str>,
    /// Actors on the way, and how long each has waited for the next.
    way: Vec<(&'a str, u64)>,
    found: Vec<WaitCycle>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, at: &'a str) {
        // Ways are as deep as chains of questions are long; the limit is for bugs.
        if self.done.contains(at) || self.way.len() > MAX_WAITS || self.found.len() >= MAX_CYCLES {
            return;
        }
        for (next, waited) in self.edges.get(at).cloned().unwrap_or_default() {
            self.way.push((at, waited));
            match self.way.iter().position(|(path, _)| *path == next) {
                Some(begin) => self.cycle(begin),
                None => self.visit(next),
            }
            self.way.pop();
        }
        self.done.insert(at);
    }

    fn cycle(&mut self, begin: usize) {
        let around = &self.way[begin..];
        let mut paths: Vec<String> = around.iter().map(|(p, _)| (*p).to_owned()).collect();
        let first = (0..paths.len()).min_by_key(|i| &paths[*i]).unwrap_or(0);
        paths.rotate_left(first);
        let shortest = around.iter().map(|(_, us)| *us).min().unwrap_or(0);
        if self.found.iter().all(|c| c.paths != paths) && self.found.len() < MAX_CYCLES {
            self.found.push(WaitCycle { paths, for_ms: shortest / 1000 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(list: &[(&str, &str)]) -> Vec<(String, Vec<WaitSnapshot>)> {
        list.iter()
            .map(|(from, to)| {
                let (target, message) = ((*to).to_owned(), "M".to_owned());
                let wait = WaitSnapshot { target, kind: WaitKind::Ask, message, for_us: 2_000_000 };
                ((*from).to_owned(), vec![wait])
            })
            .collect()
    }

    #[test]
    fn cycles_are_found_once_and_chains_are_none() {
        assert!(find(&edges(&[("/a", "/b"), ("/b", "/c")])).is_empty());
        let found = find(&edges(&[("/z", "/c"), ("/c", "/b"), ("/b", "/a"), ("/a", "/c")]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].paths.join(" "), found[0].for_ms), ("/a /c /b".to_owned(), 2000));
        assert_eq!(find(&edges(&[("/a", "/a")])).len(), 1, "one that asks itself");
        let young = WaitSnapshot { for_us: 10, ..edges(&[("/a", "/a")])[0].1[0].clone() };
        assert!(find(&[("/a".to_owned(), vec![young])]).is_empty());
    }

    #[test]
    fn a_cycle_is_counted_once_while_it_lasts() {
        let cycles = Cycles::default();
        let waits = edges(&[("/a", "/b"), ("/b", "/a")]);
        cycles.look(&waits);
        cycles.look(&waits);
        assert_eq!(cycles.counted(), 1);
        cycles.look(&[]);
        cycles.look(&waits);
        assert_eq!(cycles.counted(), 2);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let names: Vec<String> = (0..MAX_CYCLES * 3).map(|n| format!("/{n}")).collect();
        let own: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
        assert_eq!(find(&edges(&own)).len(), MAX_CYCLES);
    }
}
