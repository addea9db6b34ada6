//! The controllers: pure decisions, and the actors that carry them out on the leader.
//!
//! [`start`] puts all of them on stage below one supervisor. Each controller is a
//! `framework::Controller`: it decides on a [`crate::registry::View`] and returns commands, which one
//! generic actor carries out through a fenced registry. What is deliberately not here: caches (the
//! store's state in memory is the cache) and leader election (see [`LeaderGate`]).

mod claim;
mod endpoints;
pub(crate) mod framework;
pub(crate) mod model;
mod replicaset;
mod small;
