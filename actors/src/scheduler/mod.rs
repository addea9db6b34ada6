//! scheduler: not written yet.
