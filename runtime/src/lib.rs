//! What one machine does for the cluster: images, shims, containers, cgroups, volumes and the pod
//! network. Knows no cluster: callers hand it plain data.

pub mod cgroup;
pub mod error;
mod files;
pub mod image;
pub mod net;
mod oci;
mod paths;
pub mod pod;
pub mod reexec;
pub mod runtime;
mod shim;
pub mod spec;
pub mod status;
mod sys;
pub mod volume;

pub use error::{Error, Result};
pub use image::{ImageInfo, ImageStore, PullOptions};
pub use pod::Pod;
pub use runtime::{Runtime, RuntimeConfig};
pub use spec::{ContainerSpec, PodSandboxSpec};
pub use status::{ContainerState, ContainerStatus, ExecResult, Exit, PodEvent, PodStatus};
