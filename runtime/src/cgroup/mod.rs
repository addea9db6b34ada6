//! cgroup: not written yet.
