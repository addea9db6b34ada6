//! net: not written yet.
