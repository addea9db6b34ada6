//! Printer columns and the renderings `Table` and `PartialObjectMetadata` of objects
//! (k8s pkg/printers/internalversion/printers.go; always the wide form, priority 1 columns are
//! what `-o wide` adds). Pure: the time is passed in. Negotiating which rendering a client asked
//! for is the HTTP face's part.

mod columns;
mod core;
mod duration;
mod field;
mod pod;
mod rbac;
mod render;
#[cfg(test)]
mod tests;
mod workload;

use serde_json::Value;
use time::OffsetDateTime;

pub use columns::{Column, columns};
pub use duration::human;
pub use render::{
    Include, ListMeta, TableStyle, Version, partial_metadata, table, table_bookmark,
    write_partial_list, write_table,
};

use crate::kind::Kind;

/// One object as a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One cell per column of [`columns`].
    pub cells: Vec<Value>,
    /// Row conditions: present for completed pods.
    pub conditions: Option<Value>,
}

impl Row {
    fn new(cells: Vec<Value>) -> Self {
        Self { cells, conditions: None }
    }
}

fn age(object: &Value, now: OffsetDateTime) -> Value {
    duration::since(field::opt_text(object, "/metadata/creationTimestamp"), now).into()
}

/// Renders one object of `kind` at `now`; the cells match [`columns`] of the same kind.
pub fn row(kind: &Kind, object: &Value, now: OffsetDateTime) -> Row {
    match (kind.group, kind.plural) {
        ("", "pods") => pod::row(object, now),
        ("", "services") => core::service(object, now),
        ("", "endpoints") => core::endpoints(object, now),
        ("", "nodes") => core::node(object, now),
        ("", "namespaces") => core::namespace(object, now),
        ("", "configmaps") => core::config_map(object, now),
        ("", "secrets") => core::secret(object, now),
        ("", "serviceaccounts") => core::name_and_age(object, now),
        ("" | "events.k8s.io", "events") => core::event(object, now),
        ("apps", "deployments") => workload::deployment(object, now),
        ("apps", "replicasets") => workload::replica_set(object, now),
        ("discovery.k8s.io", "endpointslices") => core::endpoint_slice(object, now),
        ("coordination.k8s.io", "leases") => core::lease(object, now),
        ("scheduling.k8s.io", "priorityclasses") => core::priority_class(object, now),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            rbac::binding(object, now)
        }
        _ => rbac::name_and_created(object),
    }
}
