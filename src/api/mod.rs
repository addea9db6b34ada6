//! The HTTP face of the cluster: not written yet.
