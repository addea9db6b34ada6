//! cgroups: not written yet.
