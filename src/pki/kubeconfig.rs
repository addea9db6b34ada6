//! Writes and reads the kubeconfig of an administrator.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{Issued, PkiError, write_private};

/// What a kubeconfig of one cluster, one user and one context holds.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    /// URL of the API server.
    pub server: String,
    /// The cluster's authority, PEM.
    pub ca_pem: String,
    /// The user's certificate and key.
    pub client: Issued,
}

/// Writes `config` to `path`, readable by its owner only.
pub fn write_kubeconfig(path: &Path, config: &Kubeconfig) -> Result<(), PkiError> {
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kabuki", "cluster": {
            "server": config.server,
            "certificate-authority-data": STANDARD.encode(&config.ca_pem),
        }}],
        "users": [{"name": "kubernetes-admin", "user": {
            "client-certificate-data": STANDARD.encode(&config.client.cert_pem),
            "client-key-data": STANDARD.encode(&config.client.key_pem),
        }}],
        "contexts": [{"name": "kubernetes-admin@kabuki", "context": {
            "cluster": "kabuki", "user": "kubernetes-admin",
        }}],
        "current-context": "kubernetes-admin@kabuki",
        "preferences": {},
    });
    let text = serde_yaml::to_string(&document)
        .map_err(|e| PkiError::Pem { what: "kubeconfig".into(), detail: e.to_string() })?;
    write_private(path, &text)
}
