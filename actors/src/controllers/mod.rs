//! controllers: not written yet.
