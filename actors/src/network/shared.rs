//! The network as the kubelet holds it: there or not yet, and attach and detach once it is.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use kabuki_runtime::net::NodeNetwork;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::kubelet::{NetworkState, PodNetworking};

/// Shared by the manager, which fills it, and the kubelet, which uses it. It outlives restarts of both.
#[derive(Debug, Clone)]
pub struct SharedNetwork {
    network: Arc<Mutex<Option<NodeNetwork>>>,
    state: Arc<watch::Sender<NetworkState>>,
}

impl Default for SharedNetwork {
    fn default() -> Self {
        let waiting = NetworkState::Waiting("the node has no pod CIDR yet".to_owned());
        Self { network: Arc::default(), state: Arc::new(watch::Sender::new(waiting)) }
    }
}

impl SharedNetwork {
    /// The network, once it is set up.
    #[must_use]
    pub fn get(&self) -> Option<NodeNetwork> {
        self.network.lock().clone()
    }

    pub(super) fn set(&self, network: NodeNetwork) {
        *self.network.lock() = Some(network);
        self.state.send_replace(NetworkState::Ready);
    }

    pub(super) fn wait_for(&self, why: String) {
        self.state.send_replace(NetworkState::Waiting(why));
    }

    /// Returns when pods can be attached.
    pub async fn ready(&self) -> NodeNetwork {
        let mut state = self.state.subscribe();
        loop {
            if let Some(network) = self.get() {
                return network;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[async_trait]
impl PodNetworking for SharedNetwork {
    fn state(&self) -> watch::Receiver<NetworkState> {
        self.state.subscribe()
    }

    async fn attach(
        &self,
        netns: &Path,
        uid: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Vec<IpAddr>, String> {
        let network = self.get().ok_or("the pod network is not set up yet")?;
        let pod = network.attach(netns, uid, wanted).await.map_err(|e| e.to_string())?;
        Ok(vec![IpAddr::V4(pod.ip)])
    }

    async fn detach(&self, uid: &str) -> Result<(), String> {
        match self.get() {
            Some(network) => network.detach(uid).await.map_err(|e| e.to_string()),
            None => Err("the pod network is not set up yet".to_owned()),
        }
    }
}
