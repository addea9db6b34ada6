//! volume: not written yet.
