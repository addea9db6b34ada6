//! What is known about an image on this node.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};

/// The part of an image's configuration that a container needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `KEY=value` entries.
    pub env: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Program.
    pub entrypoint: Vec<String>,
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// Signal that asks the program to stop (`SIGTERM` when empty).
    pub stop_signal: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Declared volumes (ignored, as Kubernetes does).
    pub volumes: Vec<String>,
}

/// One image, unpacked and ready to be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Digest of the image's configuration (`sha256:…`).
    pub id: String,
    /// Full references that lead to it (`docker.io/library/busybox:1.36`).
    pub references: Vec<String>,
    /// Repository digests (`docker.io/library/busybox@sha256:…`).
    pub digests: Vec<String>,
    /// Directories under the layer store, lowest layer first.
    pub layers: Vec<String>,
    /// Configuration.
    pub config: ImageConfig,
    /// Sum of the layers as transferred, in bytes.
    pub size_bytes: u64,
    /// When it was stored.
    pub created_at: SystemTime,
    /// When a container was last made from it.
    pub used_at: SystemTime,
}

impl Default for ImageInfo {
    fn default() -> Self {
        Self {
            id: String::new(),
            references: Vec::new(),
            digests: Vec::new(),
            layers: Vec::new(),
            config: ImageConfig::default(),
            size_bytes: 0,
            created_at: SystemTime::UNIX_EPOCH,
            used_at: SystemTime::UNIX_EPOCH,
        }
    }
}

impl ImageInfo {
    /// What the pod status shows as `imageID`: the first repository digest, else the id.
    pub fn image_id(&self) -> &str {
        self.digests.first().unwrap_or(&self.id)
    }
}

/// Credentials for a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum RegistryAuth {
    /// No credentials.
    #[default]
    Anonymous,
    /// User and password.
    Basic(String, String),
    /// A ready token.
    Bearer(String),
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic(..) => "Basic(hidden)",
            Self::Bearer(_) => "Bearer(hidden)",
        })
    }
}

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Credentials.
    pub auth: RegistryAuth,
    /// Registries (`host:port`) spoken to over plain HTTP. Loopback registries always are.
    pub insecure_registries: Vec<String>,
}
