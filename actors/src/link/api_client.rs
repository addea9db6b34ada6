//! The node's Kubernetes API client, through the local balancer.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::LinkError;

/// Longest wait for a TCP and TLS connection to the balancer.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Who the client is and whom it trusts; PEM texts.
#[derive(Debug, Clone)]
pub struct ApiClientConfig {
    /// Where to connect to: [`super::Balancer::address`], or a member on this machine.
    pub address: SocketAddr,
    /// Name checked in the member's certificate, for example `kubernetes.default.svc`.
    pub server_name: String,
    /// The cluster's CA certificate.
    pub ca_pem: String,
    /// The client's certificate.
    pub certificate_pem: String,
    /// The client's private key.
    pub key_pem: String,
}

/// Makes the client. It opens connections when they are needed, none now.
pub async fn api_client(config: &ApiClientConfig) -> Result<Client, LinkError> {
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kabuki", "cluster": {
            "server": format!("https://{}", config.address),
            "tls-server-name": config.server_name,
            "certificate-authority-data": STANDARD.encode(&config.ca_pem),
        }}],
        "users": [{"name": "node", "user": {
            "client-certificate-data": STANDARD.encode(&config.certificate_pem),
            "client-key-data": STANDARD.encode(&config.key_pem),
        }}],
        "contexts": [{"name": "node", "context": {"cluster": "kabuki", "user": "node"}}],
        "current-context": "node",
    });
    let failed = |e: &dyn std::fmt::Display| LinkError::Client(e.to_string());
    let kubeconfig: Kubeconfig = serde_json::from_value(text).map_err(|e| failed(&e))?;
    let mut client = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|e| failed(&e))?;
    client.connect_timeout = Some(CONNECT_WITHIN);
    // A proxy of the environment has no business on the way to our own loopback.
    client.proxy_url = None;
    // Its product is the manager of the fields a node writes.
    let agent = (
        USER_AGENT,
        HeaderValue::from_static(concat!("kabuki-kubelet/", env!("CARGO_PKG_VERSION"))),
    );
    client.headers.push(agent);
    Client::try_from(client).map_err(|e| failed(&e))
}
