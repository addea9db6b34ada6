//! What the kubelet needs of a container runtime, so that decisions can be tested and hollow nodes
//! built without one. The real one is `kabuki_runtime`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use kabuki_runtime::{
    ContainerSpec, ExecResult, ImageInfo, Pod, PodEvent, PodSandboxSpec, PodStatus, PullOptions,
    Result, Runtime,
};
use tokio::sync::mpsc;

/// Whether the node still has the pod of this uid.
pub type IsWanted = dyn Fn(&str) -> bool + Send + Sync;

/// The runtime of a node.
#[async_trait]
pub trait NodeRuntime: Send + Sync + 'static {
    /// Makes a pod's sandbox.
    async fn create_pod(&self, spec: PodSandboxSpec) -> Result<Arc<dyn PodSandbox>>;
    /// Takes over what an earlier daemon left.
    async fn adopt(&self) -> Result<Vec<Arc<dyn PodSandbox>>>;
    /// Destroys every pod whose uid `is_wanted` denies.
    async fn remove_orphans(&self, is_wanted: &IsWanted) -> Result<()>;
    /// Removes what is left of a pod without a sandbox.
    async fn remove_remains(&self, uid: &str) -> Result<()>;
    /// The image a reference leads to, if it is here.
    fn image(&self, reference: &str) -> Option<ImageInfo>;
    /// Pulls an image.
    async fn pull(&self, reference: &str, options: &PullOptions) -> Result<ImageInfo>;
    /// All images.
    fn images(&self) -> Vec<ImageInfo>;
    /// Images without a container, the longest unused first.
    fn unused_images(&self) -> Vec<ImageInfo>;
    /// Removes an image by its id.
    async fn remove_image(&self, id: &str) -> Result<()>;
}

/// One pod of the runtime; methods as those of `kabuki_runtime::Pod`.
#[async_trait]
pub trait PodSandbox: Send + Sync + 'static {
    /// The pod's uid.
    fn uid(&self) -> String;
    /// Its network namespace; `None` with the host's network.
    fn netns(&self) -> Option<PathBuf>;
    /// Writes /etc/hosts.
    async fn set_hosts(&self, text: &str) -> Result<()>;
    /// Makes a container.
    async fn create_container(&self, spec: ContainerSpec) -> Result<()>;
    /// Lets it run.
    async fn start(&self, id: &str) -> Result<()>;
    /// Sends a signal, and SIGKILL after `grace`.
    async fn stop(&self, id: &str, signal: Option<i32>, grace: Duration) -> Result<()>;
    /// Removes an exited container.
    async fn remove_container(&self, id: &str) -> Result<()>;
    /// Runs a command in a container.
    async fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecResult>;
    /// State of the pod.
    async fn status(&self) -> Result<PodStatus>;
    /// Its events; to be taken once.
    fn events(&self) -> Option<mpsc::Receiver<PodEvent>>;
    /// Removes everything.
    async fn destroy(&self) -> Result<()>;
}

#[async_trait]
impl NodeRuntime for Runtime {
    async fn create_pod(&self, spec: PodSandboxSpec) -> Result<Arc<dyn PodSandbox>> {
        Ok(Arc::new(Self::create_pod(self, spec).await?))
    }

    async fn adopt(&self) -> Result<Vec<Arc<dyn PodSandbox>>> {
        let pods = Self::adopt(self).await?;
        Ok(pods.into_iter().map(|p| Arc::new(p) as Arc<dyn PodSandbox>).collect())
    }

    async fn remove_orphans(&self, is_wanted: &IsWanted) -> Result<()> {
        Self::remove_orphans(self, is_wanted).await
    }

    async fn remove_remains(&self, uid: &str) -> Result<()> {
        Self::remove_remains(self, uid).await
    }

    fn image(&self, reference: &str) -> Option<ImageInfo> {
        Self::images(self).get(reference)
    }

    async fn pull(&self, reference: &str, options: &PullOptions) -> Result<ImageInfo> {
        Self::images(self).pull(reference, options).await
    }

    fn images(&self) -> Vec<ImageInfo> {
        Self::images(self).list()
    }

    fn unused_images(&self) -> Vec<ImageInfo> {
        Self::images(self).unused()
    }

    async fn remove_image(&self, id: &str) -> Result<()> {
        Self::images(self).remove(id).await
    }
}

#[async_trait]
impl PodSandbox for Pod {
    fn uid(&self) -> String {
        Self::uid(self).to_owned()
    }

    fn netns(&self) -> Option<PathBuf> {
        Self::netns(self)
    }

    async fn set_hosts(&self, text: &str) -> Result<()> {
        Self::set_hosts(self, text).await
    }

    async fn create_container(&self, spec: ContainerSpec) -> Result<()> {
        Self::create_container(self, spec).await
    }

    async fn start(&self, id: &str) -> Result<()> {
        Self::start(self, id).await
    }

    async fn stop(&self, id: &str, signal: Option<i32>, grace: Duration) -> Result<()> {
        Self::stop(self, id, signal, grace).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        Self::remove_container(self, id).await
    }

    async fn exec(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecResult> {
        Self::exec(self, id, command, timeout).await
    }

    async fn status(&self) -> Result<PodStatus> {
        Self::status(self).await
    }

    fn events(&self) -> Option<mpsc::Receiver<PodEvent>> {
        Self::events(self)
    }

    async fn destroy(&self) -> Result<()> {
        Self::destroy(self).await
    }
}
