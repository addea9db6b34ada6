//! What a node is started with.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc};

use k8s_openapi::api::core::v1::Taint;

use super::{networking::PodNetworking, sandbox::NodeRuntime};

/// Below `root`: what pods write. Not `pods`: the runtime may share the directory.
pub(super) const POD_DATA: &str = "pod-data";
/// Below `run`: generated volumes.
pub(super) const POD_VOLUMES: &str = "volumes";

/// Everything a kubelet needs to know. The directories may be those of the runtime. Several nodes on one machine need different directories.
#[derive(Clone)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// The node's own address first.
    pub node_ips: Vec<IpAddr>,
    /// Labels besides the usual ones.
    pub labels: BTreeMap<String, String>,
    /// Taints the Node is registered with.
    pub taints: Vec<Taint>,
    /// The API, see [`crate::link::api_client`].
    pub client: kube::Client,
    /// The container runtime.
    pub runtime: Arc<dyn NodeRuntime>,
    /// The pod network.
    pub network: Arc<dyn PodNetworking>,
    /// Persistent: emptyDir volumes.
    pub root: PathBuf,
    /// Temporary, tmpfs preferred: ConfigMap, Secret and projected volumes.
    pub run: PathBuf,
    /// Container logs, as the runtime writes them.
    pub log_root: PathBuf,
    /// Address of the cluster's DNS service.
    pub cluster_dns: IpAddr,
    /// Domain of the cluster.
    pub cluster_domain: String,
    /// The node's resolver configuration, for `dnsPolicy: Default` and as the upstream search list.
    pub resolv_conf: PathBuf,
    /// Pods at most.
    pub max_pods: u32,
    /// Registries spoken to over plain HTTP.
    pub insecure_registries: Vec<String>,
    /// Version shown as `kubeletVersion`, for example `v1.36.0+kabuki-0.1.0`.
    pub version: String,
}

impl NodeConfig {
    /// Addresses as texts.
    pub fn host_ips(&self) -> Vec<String> {
        self.node_ips.iter().map(IpAddr::to_string).collect()
    }

    /// Persistent directory of one pod.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join(POD_DATA).join(uid)
    }

    /// Temporary directory of one pod.
    pub fn pod_run_dir(&self, uid: &str) -> PathBuf {
        self.run.join(POD_VOLUMES).join(uid)
    }
}
