//! status: not written yet.
