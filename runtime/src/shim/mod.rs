//! shim: not written yet.
