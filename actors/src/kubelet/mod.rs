//! kubelet: not written yet.
