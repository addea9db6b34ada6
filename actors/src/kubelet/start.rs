//! Brings a node on stage.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    config::{NodeConfig, POD_DATA, POD_VOLUMES},
    context::NodeContext,
    events::{EventRecorder, Recorder, RecorderArgs},
    kubelet::Kubelet,
    logs::NodeHandler,
    node::{NodeFacts, NodeReporter, PressureWatch},
    services::{Services, ServicesArgs},
};
use crate::kernel::{ActorRef, ChildSpec, Kernel, SupervisorRef, SupervisorSpec};

/// A node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory cannot be made.
    #[error("cannot make {path}: {source}; check the data directory")]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The HTTP client for probes cannot be made.
    #[error("cannot make the probe client: {0}")]
    Probes(#[from] reqwest::Error),
    /// Reading the machine's facts was interrupted.
    #[error("cannot read the machine's facts: {0}")]
    Facts(String),
}

/// A started node.
#[derive(Clone)]
pub struct NodeHandle {
    context: Arc<NodeContext>,
    supervisor: SupervisorRef,
    kubelet: ActorRef<Kubelet>,
}

impl NodeHandle {
    /// Answers what members ask over the link; for [`crate::link::Dialer`].
    #[must_use]
    pub fn link_handler(&self, kernel: Kernel) -> Arc<NodeHandler> {
        Arc::new(NodeHandler::new(self.context.clone(), kernel))
    }

    /// What the node's actors share.
    #[must_use]
    pub fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    /// The actor that keeps the node's pods.
    #[must_use]
    pub fn kubelet(&self) -> &ActorRef<Kubelet> {
        &self.kubelet
    }

    /// Ends the actors; containers go on.
    pub async fn stop(&self) {
        self.supervisor.stop().await;
    }
}

/// Starts everything of a node but proxy and DNS under `parent`.
///
/// # Errors
/// Its directories or its HTTP client cannot be made.
pub async fn start(parent: &SupervisorRef, config: NodeConfig) -> Result<NodeHandle, StartError> {
    for path in [config.root.join(POD_DATA), config.run.join(POD_VOLUMES)] {
        let made = tokio::fs::create_dir_all(&path).await;
        made.map_err(|source| StartError::Directory { path, source })?;
    }
    let (max_pods, disk) = (config.max_pods, config.root.clone());
    let version = config.version.clone();
    let facts = tokio::task::spawn_blocking(move || NodeFacts::read(max_pods, &disk, &version));
    let facts = facts.await.map_err(|e| StartError::Facts(e.to_string()))?;

    let supervisor = parent.supervisor("kubelet", SupervisorSpec::one_for_one());
    let recorder = RecorderArgs { client: config.client.clone(), node: config.name.clone() };
    let recorder = supervisor.start::<EventRecorder>("events", recorder, ChildSpec::default());
    let (list, services) = watch::channel(None);
    let watched = ServicesArgs { client: config.client.clone(), list: Arc::new(list) };
    supervisor.start::<Services>("services", watched, ChildSpec::default());
    let context = Arc::new(NodeContext::new(config, facts, Recorder::new(recorder), services)?);
    supervisor.start::<PressureWatch>("pressure", context.clone(), ChildSpec::default());
    supervisor.start::<NodeReporter>("node", context.clone(), ChildSpec::default());
    let kubelet = supervisor.start::<Kubelet>("pods", context.clone(), ChildSpec::default());
    Ok(NodeHandle { context, supervisor, kubelet })
}
