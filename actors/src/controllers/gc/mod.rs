//! Garbage collector: objects whose owners are gone, and owners that wait for their dependents or
//! leave them behind (upstream: `pkg/controller/garbagecollector`).
//!
//! Unlike upstream there are no "virtual" owners and no live look-ups: the view is the applied state
//! of the leader, so an owner that is not in it does not exist.

mod collector;
mod graph;
#[cfg(test)]
mod tests;

pub(crate) use collector::GarbageCollector;
