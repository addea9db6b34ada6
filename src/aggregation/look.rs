//! Asks extension servers for their discovery: whether they are there, and what they serve.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use kabuki_actors::{
    auth::{MASTERS, UserInfo},
    controllers::{ExtensionServers, Look},
    outbound::transport_text,
};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Aggregator, Extension};

/// How long an answer is told as one of just now.
const FRESH: Duration = Duration::from_secs(5);
/// How long a server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long what a server serves is told without asking again.
const SERVED_FOR: Duration = Duration::from_secs(30);
/// Servers something is remembered of; with more, everything is forgotten.
const SERVERS_MAX: usize = 1_024;
/// Longest document that is read, bytes.
const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Who asks.
const AGGREGATOR: &str = "system:kube-aggregator";

/// What was found, by the name of the APIService.
#[derive(Default)]
pub(super) struct Looks {
    servers: Mutex<HashMap<String, Server>>,
    documents: Mutex<HashMap<String, (Instant, Arc<Value>)>>,
}

struct Server {
    spec: Value,
    asking: bool,
    found: Option<(Instant, Result<(), String>)>,
}

/// Shows the leader's control plane what is found.
pub struct Looking(pub Arc<Aggregator>);

impl ExtensionServers for Looking {
    fn look(&self, name: &str, spec: &Value) -> Look {
        let mut servers = self.0.looks.servers.lock();
        if servers.len() >= SERVERS_MAX && !servers.contains_key(name) {
            servers.clear();
        }
        let fresh = || Server { spec: spec.clone(), asking: false, found: None };
        let server = servers.entry(name.to_owned()).or_insert_with(fresh);
        if server.spec != *spec {
            *server = fresh();
        }
        if let Some((at, found)) = &server.found
            && at.elapsed() < FRESH
        {
            return Look::Found(found.clone());
        }
        if !server.asking {
            server.asking = true;
            let (me, name, spec) = (Arc::clone(&self.0), name.to_owned(), spec.clone());
            tokio::spawn(async move { me.ask(&name, &spec).await });
        }
        Look::Soon
    }
}

impl Aggregator {
    async fn ask(&self, name: &str, spec: &Value) {
        let object = serde_json::json!({"spec": spec});
        let found = match Extension::read(name, &object) {
            Some(extension) => self.discovery(&extension).await.map(drop),
            None => Err("it names no service".to_owned()),
        };
        if let Some(server) = self.looks.servers.lock().get_mut(name)
            && server.spec == *spec
        {
            server.asking = false;
            server.found = Some((Instant::now(), found));
        }
    }

    /// `/apis/<group>/<version>` of an extension server.
    async fn discovery(&self, extension: &Extension) -> Result<Value, String> {
        let path = format!("/apis/{}/{}", extension.group, extension.version);
        self.document(extension, &path).await
    }

    async fn document(&self, extension: &Extension, path: &str) -> Result<Value, String> {
        let url = extension.url(path);
        let user = UserInfo {
            name: AGGREGATOR.to_owned(),
            groups: vec![MASTERS.to_owned()],
            ..UserInfo::default()
        };
        let missing =
            |why: String| format!("failing or missing response from {url}: Get {url:?}: {why}");
        let call = async {
            let request = self.request(extension, http::Method::GET, path, &user).await;
            let request = request.map_err(missing)?.header("accept", "application/json");
            let mut answer = request.send().await.map_err(|e| missing(transport_text(&e)))?;
            let status = answer.status();
            if !status.is_success() {
                return Err(format!("bad status from {url}: {}", status.as_u16()));
            }
            let mut all = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|e| missing(transport_text(&e)))? {
                if all.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                    return Err(missing(format!("longer than {DOCUMENT_BYTES_MAX} bytes")));
                }
                all.extend_from_slice(&chunk);
            }
            Ok(serde_json::from_slice(&all).unwrap_or_default())
        };
        match tokio::time::timeout(ANSWER_WITHIN, call).await {
            Ok(found) => found,
            Err(_) => Err(missing("context deadline exceeded".to_owned())),
        }
    }

    /// A document of an extension server that clients are told of beside this server's own, from
    /// memory while it is young; `Null` when the server does not answer.
    pub async fn served(&self, extension: &Extension, path: &str) -> Arc<Value> {
        let key = format!("{} {path}", extension.name);
        if let Some((at, document)) = self.looks.documents.lock().get(&key)
            && at.elapsed() < SERVED_FOR
        {
            return Arc::clone(document);
        }
        let document = match self.document(extension, path).await {
            Ok(document) => Arc::new(document),
            // Not kept: the server may be back at once.
            Err(_) => return Arc::default(),
        };
        let mut documents = self.looks.documents.lock();
        if documents.len() >= SERVERS_MAX {
            documents.clear();
        }
        documents.insert(key, (Instant::now(), Arc::clone(&document)));
        document
    }
}
