//! validate: not written yet.
