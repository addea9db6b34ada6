//! The HTTP clients, by the authority they trust, and the addresses they dial.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use reqwest::{
    RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Endpoint, Target, resolve, tls};
use crate::registry::View;

/// Authorities clients are kept for; with more, all are made anew.
const CLIENTS_MAX: usize = 64;
/// Services whose addresses are remembered for the next connection.
const SERVICES_MAX: usize = 1_024;
/// Idle connections kept to one server.
const IDLE_MAX: usize = 16;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How long a connection may take to come about, all addresses together.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Calls under way at once; more wait, within their own timeouts.
const CALLS_MAX: usize = 1_024;
/// Who calls, as webhooks know it.
const USER_AGENT: &str = "kube-apiserver-admission";

/// Which servers are believed to be who they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Those the authorities of a PEM bundle signed; with an empty one, those the system trusts.
    Bundle(&'a [u8]),
    /// All: `insecureSkipTLSVerify`.
    Anybody,
}

impl<'a> Trust<'a> {
    fn bundle(self) -> Option<&'a [u8]> {
        match self {
            Self::Bundle(pem) => Some(pem),
            Self::Anybody => None,
        }
    }
}

/// Clients to webhooks and extension servers, made when first needed.
pub struct Clients {
    /// By the PEM of the authority; empty is what the system trusts, `None` anybody.
    by_authority: Mutex<HashMap<Option<Vec<u8>>, reqwest::Client>>,
    addresses: Arc<Addresses>,
    slots: Semaphore,
    identity: Option<tls::Identity>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            by_authority: Mutex::default(),
            addresses: Arc::default(),
            slots: Semaphore::new(CALLS_MAX),
            identity: None,
        }
    }
}

impl Clients {
    /// Clients that show a certificate (PEM, with its key).
    ///
    /// # Errors
    /// Words for what cannot be read.
    pub fn with_certificate(cert_pem: &str, key_pem: &str) -> Result<Self, String> {
        let identity = tls::Identity::from_pem(cert_pem, key_pem)?;
        Ok(Self { identity: Some(identity), ..Self::default() })
    }

    /// A place among the calls under way.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.slots.acquire().await.ok()
    }

    /// The client that trusts so.
    ///
    /// # Errors
    /// Words for a bundle without certificates.
    pub fn client(&self, trust: Trust<'_>) -> Result<reqwest::Client, String> {
        let key = trust.bundle().map(<[u8]>::to_vec);
        if let Some(client) = self.by_authority.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(trust)?;
        let mut kept = self.by_authority.lock();
        if kept.len() >= CLIENTS_MAX {
            kept.clear();
        }
        kept.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, trust: Trust<'_>) -> Result<reqwest::Client, String> {
        let config = tls::config(trust.bundle(), self.identity.as_ref())?;
        reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            // As upstream: connections of HTTP/2 would keep all calls at one endpoint.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::clone(&self.addresses))
            .build()
            .map_err(|e| e.to_string())
    }

    /// A request to `target` at `shown` (its URL with the query), addressed to where the target is
    /// served now.
    ///
    /// # Errors
    /// Words for a Service that cannot be called.
    pub async fn request(
        &self,
        client: &reqwest::Client,
        view: &dyn View,
        method: http::Method,
        target: &Target,
        shown: &str,
    ) -> Result<RequestBuilder, String> {
        let Target::Service { namespace, name, port, .. } = target else {
            return Ok(client.request(method, shown));
        };
        let host = format!("{name}.{namespace}.svc");
        let endpoint = resolve(view, namespace, name, *port).map_err(|e| e.to_string())?;
        let (addresses, dialled) = match endpoint {
            Endpoint::Addresses(addresses, dialled) => (addresses, dialled),
            Endpoint::External(external, dialled) => {
                let found = tokio::net::lookup_host((external.as_str(), dialled)).await;
                let found = found.map_err(|_| format!("lookup {external}: no such host"))?;
                (found.map(|a| a.ip()).collect(), dialled)
            }
        };
        self.addresses.remember(&host, addresses);
        let named = format!("{host}:{port}");
        let address = shown.replacen(&named, &format!("{host}:{dialled}"), 1);
        Ok(client.request(method, address).header("host", named))
    }
}

/// Addresses of Services, as found for the last call; other names are looked up.
#[derive(Default)]
struct Addresses(Mutex<HashMap<String, Vec<IpAddr>>>);

impl Addresses {
    fn remember(&self, host: &str, addresses: Vec<IpAddr>) {
        let mut known = self.0.lock();
        if known.len() >= SERVICES_MAX && !known.contains_key(host) {
            known.clear();
        }
        known.insert(host.to_owned(), addresses);
    }
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let known = self.0.lock().get(name.as_str()).cloned();
        Box::pin(async move {
            if let Some(mut known) = known {
                if !known.is_empty() {
                    let first = rand::random_range(0..known.len());
                    known.rotate_left(first);
                }
                let addrs: Addrs = Box::new(known.into_iter().map(|ip| SocketAddr::new(ip, 0)));
                return Ok(addrs);
            }
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addrs: Addrs = Box::new(found.collect::<Vec<_>>().into_iter());
            Ok(addrs)
        })
    }
}
