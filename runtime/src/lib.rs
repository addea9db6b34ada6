//! What one machine does for the cluster: images, shims, containers, cgroups, volumes and the pod
//! network. Knows no cluster: callers hand it plain data.

pub mod cgroup;
pub mod image;
pub mod net;
pub mod oci;
pub mod shim;
pub mod volume;
