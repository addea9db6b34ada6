//! The kabuki binary.
fn main() {}
