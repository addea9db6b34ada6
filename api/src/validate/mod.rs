//! Validation of objects on create and update, with upstream's paths, reasons and texts.
//!
//! Objects are pruned, of the right JSON types, and have their defaults. What needs the store
//! (names taken, addresses in use, quota) is not here.

pub(crate) mod admission;
pub(crate) mod aggregation;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod certificates;
mod check;
pub(crate) mod config;
mod container;
pub(crate) mod controllers;
mod cron;
pub(crate) mod endpoints;
mod environment;
mod error;
pub(crate) mod flow;
pub(crate) mod limits;
mod meta;
pub(crate) mod network;
pub(crate) mod persistent;
pub(crate) mod pod;
pub(crate) mod pod_update;
pub(crate) mod policies;
pub(crate) mod policy;
mod probe;
pub(crate) mod quota;
pub(crate) mod rbac;
mod resources;
mod scheduling;
pub(crate) mod service;
pub(crate) mod small;
pub(crate) mod storage;
mod volume;
pub(crate) mod workload;

pub(crate) use check::immutable;
pub use error::{FieldError, Reason};
pub(crate) use meta::embedded as embedded_metadata;
use serde_json::Value;

use crate::kind::Kind;

/// Everything wrong with a new object. Its name is generated already if it is to be.
pub fn create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    // Reviews and other kinds that are never stored have no metadata to speak of.
    if kind.is_stored() {
        meta::create(&mut out, kind, object);
    }
    if let Some(served) = kind.served() {
        served.check(&mut out, object, None);
    }
    (kind.check)(&mut out, object);
    (kind.check_new)(&mut out, object);
    out
}

/// Everything wrong with a changed object, given the stored one.
pub fn update(kind: &Kind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    meta::update(&mut out, new, old);
    if let Some(served) = kind.served() {
        served.check(&mut out, new, Some(old));
    }
    (kind.check)(&mut out, new);
    (kind.check_change)(&mut out, new, old);
    out
}

#[cfg(test)]
mod controllers_tests;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
