//! link: not written yet.
