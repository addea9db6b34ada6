//! The Node object of this machine: what it is, that it lives, and what it runs short of.

mod facts;
mod pressure;
mod reporter;
mod status;

pub use facts::NodeFacts;
pub use pressure::Pressure;
pub(super) use pressure::PressureWatch;
pub(super) use reporter::NodeReporter;
