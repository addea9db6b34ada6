//! API aggregation: whether extension API servers can be reached (kube-aggregator
//! `pkg/controllers/status`).

mod availability;

pub(crate) use availability::Availability;

use serde_json::Value;

/// Looks at extension API servers, in the background.
pub trait ExtensionServers: Send + Sync {
    /// What was found when the server of the APIService of this name and spec was last asked for its
    /// discovery, and begins to ask again where that is long ago.
    fn look(&self, name: &str, spec: &Value) -> Look;
}

/// What is known of an extension API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It was not asked yet, or long ago: the answer comes soon.
    Soon,
    /// It was asked just now, and answered, or why it did not.
    Found(Result<(), String>),
}
