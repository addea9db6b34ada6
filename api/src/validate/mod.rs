//! Validation of objects on create and update, with upstream's paths, reasons and texts.
//!
//! Objects are pruned, of the right JSON types, and have their defaults. What needs the store
//! (names taken, addresses in use, quota) is not here.

mod check;
mod config;
mod container;
mod endpoints;
mod environment;
mod error;
mod meta;
mod pod;
mod pod_update;
mod probe;
mod rbac;
mod resources;
mod scheduling;
mod service;
mod small;
mod volume;
mod workload;

pub use error::{FieldError, Reason};
use serde_json::Value;

use crate::kind::{self, Kind};

/// Everything wrong with a new object. Its name is generated already if it is to be.
pub fn create(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    // Reviews and other kinds that are never stored have no metadata to speak of.
    if kind.is_stored() {
        meta::create(&mut out, kind, object);
    }
    content(&mut out, kind, object);
    if kind == kind::POD {
        pod::create(&mut out, object);
    }
    out
}

/// Everything wrong with a changed object, given the stored one.
pub fn update(kind: &Kind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    meta::update(&mut out, new, old);
    // A pod's spec cannot change, so it is not checked again: rules may have become stricter.
    content(&mut out, kind, new);
    match kind {
        k if k == kind::POD => pod_update::update(&mut out, new, old),
        k if k == kind::DEPLOYMENT || k == kind::REPLICA_SET => {
            workload::update(&mut out, new, old);
        }
        k if k == kind::SERVICE => service::update(&mut out, new, old),
        k if k == kind::CONFIG_MAP => config::config_map_update(&mut out, new, old),
        k if k == kind::SECRET => config::secret_update(&mut out, new, old),
        k if k == kind::ROLE_BINDING || k == kind::CLUSTER_ROLE_BINDING => {
            rbac::binding_update(&mut out, new, old);
        }
        k if k == kind::ENDPOINT_SLICE => endpoints::slice_update(&mut out, new, old),
        k if k == kind::NODE => small::node_update(&mut out, new, old),
        k if k == kind::PRIORITY_CLASS => small::priority_class_update(&mut out, new, old),
        _ => {}
    }
    out
}

/// Rules that hold for a new object and for a changed one.
fn content(out: &mut Vec<FieldError>, kind: &Kind, object: &Value) {
    match kind {
        k if k == kind::DEPLOYMENT => workload::deployment(out, object),
        k if k == kind::REPLICA_SET => workload::replica_set(out, object),
        k if k == kind::SERVICE => service::create(out, object),
        k if k == kind::CONFIG_MAP => config::config_map(out, object),
        k if k == kind::SECRET => config::secret(out, object),
        k if k == kind::ROLE => rbac::role(out, object, true),
        k if k == kind::CLUSTER_ROLE => rbac::role(out, object, false),
        k if k == kind::ROLE_BINDING => rbac::binding(out, object, true),
        k if k == kind::CLUSTER_ROLE_BINDING => rbac::binding(out, object, false),
        k if k == kind::ENDPOINTS => endpoints::endpoints(out, object),
        k if k == kind::ENDPOINT_SLICE => endpoints::slice(out, object),
        k if k == kind::NODE => small::node(out, object),
        k if k == kind::LEASE => small::lease(out, object),
        k if k == kind::EVENT => small::event(out, object),
        k if k == kind::EVENTS_EVENT => small::new_event(out, object),
        k if k == kind::PRIORITY_CLASS => small::priority_class(out, object),
        k if k == kind::BINDING => small::binding(out, object),
        k if k == kind::TOKEN_REQUEST => small::token_request(out, object),
        k if k == kind::SCALE => workload::scale(out, object),
        k if k == kind::SUBJECT_ACCESS_REVIEW || k == kind::LOCAL_SUBJECT_ACCESS_REVIEW => {
            small::access_review(out, object, true);
        }
        k if k == kind::SELF_SUBJECT_ACCESS_REVIEW => small::access_review(out, object, false),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod update_tests;
