//! What the kubelet needs of the pod network.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use async_trait::async_trait;
use tokio::sync::watch;

/// Whether pods can be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkState {
    /// They can.
    Ready,
    /// They cannot yet, and why.
    Waiting(String),
}

/// The pod network of a node.
#[async_trait]
pub trait PodNetworking: Send + Sync + 'static {
    /// Its state; changes are followed.
    fn state(&self) -> watch::Receiver<NetworkState>;
    /// Gives a pod its address. Idempotent; `wanted` is the address it had before.
    async fn attach(
        &self,
        netns: &Path,
        uid: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Vec<IpAddr>, String>;
    /// Takes it back. Idempotent.
    async fn detach(&self, uid: &str) -> Result<(), String>;
    /// Uids of the pods that have an address; none while the network is not up.
    async fn attached(&self) -> Vec<String>;
}
