//! What ended actors have counted, so that counters never fall. Bounded by the number of actor and
//! message types the program has.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use super::{
    cell::Cell,
    record::RestartCounts,
    stats::{Histogram, MessageTotals},
};

/// The counters of one actor type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub messages: BTreeMap<&'static str, MessageTotals>,
    pub restarts: RestartCounts,
    pub refused: u64,
    pub panics: u64,
    pub spent: u64,
}

impl Totals {
    /// Adds what an actor has counted.
    pub(crate) fn add(&mut self, cell: &Cell) {
        for (name, totals) in cell.stats.lock().totals() {
            let sum = self.messages.entry(name).or_default();
            sum.count += totals.count;
            sum.busy += totals.busy;
            sum.queued += totals.queued;
            merge(&mut sum.handle_times, &totals.handle_times);
            merge(&mut sum.queue_times, &totals.queue_times);
        }
        for (sum, n) in self.restarts.iter_mut().zip(cell.restart_log.lock().counts()) {
            *sum += n;
        }
        self.refused += cell.refused.load(Ordering::Relaxed);
        self.panics += cell.panics_caught.load(Ordering::Relaxed);
        self.spent += cell.exhausted.load(Ordering::Relaxed);
    }
}

fn merge(into: &mut Histogram, from: &Histogram) {
    for (sum, n) in into.iter_mut().zip(from) {
        *sum += n;
    }
}

/// Totals by actor type.
pub(crate) type ByType = BTreeMap<&'static str, Totals>;
