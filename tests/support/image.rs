//! The image writer of the examples, shared with the tests.

#[path = "../../examples/images/writer.rs"]
mod writer;

pub use writer::*;
