//! dns: not written yet.
