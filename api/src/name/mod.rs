//! name: not written yet.
