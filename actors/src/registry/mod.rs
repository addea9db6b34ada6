//! registry: not written yet.
