//! The entry point for the daemon: one [`Runtime`] per node.

use std::{collections::HashSet, path::PathBuf};

use crate::{
    error::{Error, Result},
    image::ImageStore,
    pod::Pod,
    spec::PodSandboxSpec,
};

/// Where a node keeps what. Several nodes on one machine need different values in every field.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Persistent: images, writable layers.
    pub root: PathBuf,
    /// Sockets, namespace mounts, shim state; tmpfs preferred (emptied by a reboot).
    pub run: PathBuf,
    /// Container logs (`/var/log/pods`).
    pub log_root: PathBuf,
    /// Parent of all pod cgroups, absolute (`/kubepods`).
    pub cgroup_root: String,
    /// The binary that is re-executed as a shim; must call [`crate::reexec::main_if_shim`] first
    /// thing in `main`.
    pub exe: PathBuf,
}

/// The container runtime of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    images: ImageStore,
}

impl Runtime {
    /// Prepares directories and cgroups, cleans half-done pulls. Starts nothing.
    pub async fn new(_config: RuntimeConfig) -> Result<Self> {
        Ok(Self { images: ImageStore })
    }

    /// The image store.
    pub fn images(&self) -> &ImageStore {
        &self.images
    }

    /// Makes a pod's sandbox: shim, namespaces, cgroup.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a pod with this uid is there (adopt it instead).
    pub async fn create_pod(&self, _spec: PodSandboxSpec) -> Result<Pod> {
        Err(Error::Unsupported("pods are not built yet".into()))
    }

    /// Takes over the pods of an earlier daemon, exits that happened meanwhile included. Call once,
    /// before `create_pod`. Pods of before a reboot are cleaned up and not answered.
    pub async fn adopt(&self) -> Result<Vec<Pod>> {
        Ok(Vec::new())
    }

    /// Destroys every pod whose uid is not in `keep`, whatever is left of it.
    pub async fn remove_orphans(&self, _keep: &HashSet<String>) -> Result<()> {
        Ok(())
    }
}
