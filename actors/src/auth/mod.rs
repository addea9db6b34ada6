//! auth: not written yet.
