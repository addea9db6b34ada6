//! ConfigMaps and Secrets that pods refer to, read from the API.
//!
//! A start always reads afresh; refreshing volumes reuses what another pod read a moment ago. What
//! cannot be read is as it was when it could.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::env::{Fetched, Reference};

/// How old a shared answer may be when a volume is refreshed.
const REFRESH_AGE: Duration = Duration::from_secs(10);
/// One read.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Answers kept; beyond that all are read anew.
const MAX_KEPT: usize = 2048;

/// What the API said about one object.
#[derive(Debug, Clone)]
enum Object {
    ConfigMap(Arc<ConfigMap>),
    Secret(Arc<Secret>),
    Absent,
}

/// The API could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}: {reason}")]
pub struct ReadError {
    what: String,
    reason: String,
}

/// Reads objects, and keeps answers for [`REFRESH_AGE`].
pub struct Objects {
    client: Client,
    kept: Mutex<HashMap<(String, Reference), (Instant, Object)>>,
}

impl Objects {
    pub(super) fn new(client: Client) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// Reads all `references` of `namespace` at once. Absent objects are absent in the answer.
    ///
    /// # Errors
    /// The API did not answer, or forbids it.
    pub async fn fetch(
        &self,
        namespace: &str,
        references: impl IntoIterator<Item = Reference>,
        fresh: bool,
    ) -> Result<Fetched, ReadError> {
        let wanted: HashSet<Reference> = references.into_iter().collect();
        let reads = wanted.into_iter().map(|r| async move {
            let object = self.one(namespace, &r, fresh).await?;
            Ok::<_, ReadError>((r, object))
        });
        let mut fetched = Fetched::default();
        for (reference, object) in futures_util::future::try_join_all(reads).await? {
            match (reference, object) {
                (Reference::ConfigMap(name), Object::ConfigMap(map)) => {
                    fetched.config_maps.insert(name, map);
                }
                (Reference::Secret(name), Object::Secret(secret)) => {
                    fetched.secrets.insert(name, secret);
                }
                _ => {}
            }
        }
        Ok(fetched)
    }

    async fn one(
        &self,
        namespace: &str,
        reference: &Reference,
        fresh: bool,
    ) -> Result<Object, ReadError> {
        let key = (namespace.to_owned(), reference.clone());
        let kept = self.kept.lock().get(&key).cloned();
        let last = match kept {
            Some((at, object)) if !fresh && at.elapsed() < REFRESH_AGE => return Ok(object),
            kept => kept.map(|(_, object)| object),
        };
        let read = async {
            let client = self.client.clone();
            Ok::<_, kube::Error>(match reference {
                Reference::ConfigMap(name) => {
                    let found =
                        Api::<ConfigMap>::namespaced(client, namespace).get_opt(name).await?;
                    found.map_or(Object::Absent, |o| Object::ConfigMap(Arc::new(o)))
                }
                Reference::Secret(name) => {
                    let found = Api::<Secret>::namespaced(client, namespace).get_opt(name).await?;
                    found.map_or(Object::Absent, |o| Object::Secret(Arc::new(o)))
                }
            })
        };
        let failed = |reason: String| ReadError { what: reference.to_string(), reason };
        let object = match timeout(READ_WITHIN, read).await {
            Ok(Ok(object)) => object,
            // The node goes on while the API is out of reach: what was true last has to do.
            other => {
                let reason = match other {
                    Ok(Err(kube::Error::Api(status))) => return Err(failed(status.to_string())),
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no answer within {} s", READ_WITHIN.as_secs()),
                };
                return last.ok_or_else(|| failed(reason));
            }
        };
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), object.clone()));
        Ok(object)
    }
}
