//! kind: not written yet.
