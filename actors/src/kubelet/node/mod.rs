//! The Node object of this machine: what it is, that it lives.

mod facts;
mod reporter;
mod status;

pub use facts::NodeFacts;
pub(super) use reporter::NodeReporter;
