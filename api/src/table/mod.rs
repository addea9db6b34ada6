//! Printer columns and the renderings `Table` and `PartialObjectMetadata` of objects
//! (k8s pkg/printers/internalversion/printers.go; always the wide form, priority 1 columns are
//! what `-o wide` adds). Pure: the time is passed in. Negotiating which rendering a client asked
//! for is the HTTP face's part.

pub(crate) mod admission;
pub(crate) mod autoscaling;
pub(crate) mod columns;
pub(crate) mod core;
mod duration;
mod field;
pub(crate) mod ingress;
pub(crate) mod network;
pub(crate) mod pod;
pub(crate) mod policies;
pub(crate) mod quota;
pub(crate) mod rbac;
mod render;
pub(crate) mod storage;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
pub(crate) mod volume;
pub(crate) mod workload;

use serde_json::Value;
use time::OffsetDateTime;

pub use columns::Column;
pub(crate) use columns::{AGE, NAME, NAME_AND_CREATED};
pub use duration::human;
pub use render::{
    Include, ListMeta, TableStyle, Version, partial_metadata, table, table_bookmark,
    write_partial_list, write_table,
};

pub(crate) use duration::age_of;
pub(crate) use rbac::name_and_created;

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
    match kind.served() {
        Some(served) => served.columns.row(object, now),
        None => (kind.row)(object, now),
    }
}

/// The columns of a kind, those of `-o wide` included.
pub fn columns(kind: &Kind) -> &'static [Column] {
    kind.columns
}
