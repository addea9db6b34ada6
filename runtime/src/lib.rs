//! What one machine does for the cluster: images, shims, containers, cgroups, volumes and the pod
//! network. Knows no cluster: callers hand it plain data.

pub mod cgroup;
pub mod error;
pub mod image;
pub mod net;
pub mod oci;
pub mod pod;
pub mod reexec;
pub mod runtime;
pub mod shim;
pub mod spec;
pub mod status;
pub mod volume;

pub use error::{Error, Result};
pub use image::{ImageInfo, ImageStore, PullOptions};
pub use pod::Pod;
pub use runtime::{Runtime, RuntimeConfig};
pub use spec::{ContainerSpec, PodSandboxSpec};
pub use status::{ContainerState, ContainerStatus, ExecResult, Exit, PodEvent, PodStatus};
