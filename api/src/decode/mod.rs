//! decode: not written yet.
