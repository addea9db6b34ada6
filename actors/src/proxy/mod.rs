//! proxy: not written yet.
