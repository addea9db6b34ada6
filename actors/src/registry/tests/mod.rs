//! The registry on a real single-member store.

mod access;
mod definitions;
mod deletes;
mod figures;
mod kinds;
mod lists;
mod quorum;
mod services;
mod watches;
mod writes;

use std::sync::Arc;

use kabuki_api::{
    kind::{CONFIG_MAP, Kind, SERVICE_ACCOUNT},
    status::Status,
};
use kabuki_raft::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::auth::ServiceAccountKeys;

/// A registry on a fresh store, with the objects every cluster has.
struct Fixture {
    registry: Registry,
    _dir: TempDir,
}

impl std::ops::Deref for Fixture {
    type Target = Registry;
    fn deref(&self) -> &Registry {
        &self.registry
    }
}

async fn cluster() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_single(dir.path()).await.unwrap();
    let keys = Some(Arc::new(ServiceAccountKeys::generate().unwrap()));
    let cfg = RegistryConfig { keys, ..RegistryConfig::default() };
    let registry = Registry::new(store, cfg);
    registry.bootstrap().await.unwrap();
    let account = json!({"metadata": {"name": "default"}});
    registry.create(&internal(), SERVICE_ACCOUNT, "default", account).await.unwrap();
    Fixture { registry, _dir: dir }
}

fn internal() -> RequestInfo {
    RequestInfo::internal("test")
}

fn config(name: &str, value: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"v": value}}, "data": {"v": value}})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

fn deployment(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
}

impl Fixture {
    async fn make(&self, kind: &'static Kind, object: Value) -> Arc<Object> {
        self.create(&internal(), kind, "default", object).await.unwrap().object
    }

    async fn config(&self, name: &str, value: &str) -> Arc<Object> {
        self.make(CONFIG_MAP, config(name, value)).await
    }

    async fn replace(
        &self,
        kind: &'static Kind,
        object: Value,
        sub: Subresource,
    ) -> Result<Written, Status> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.update(&internal(), kind, "default", &name, object, sub).await
    }
}
