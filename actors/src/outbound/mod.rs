//! HTTPS calls a member makes to what the cluster runs: webhooks and extension API servers. A
//! Service is resolved here, from the applied state, to its ready endpoints, so that a member needs
//! no service proxy and no cluster DNS; the certificate must be for `<service>.<namespace>.svc`
//! (apiserver `pkg/util/webhook/client.go`, `pkg/util/proxy/proxy.go`).
//!
//! Connections are kept by the authority they trust. Errors are told in the words clients of
//! kube-apiserver know. Decides nothing about what is sent.

mod client;
mod resolve;
mod text;
mod tls;

use std::time::Duration;

use bytes::{Bytes, BytesMut};

pub use client::{Clients, Trust};
pub use resolve::{Endpoint, Unresolved, resolve};
pub use text::{server_text, transport_text};

use crate::registry::View;

/// Bytes of one answer that are read; a longer one is an error.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `https://host[:port][/path]`.
    Url(String),
    /// A Service of the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The Service's port.
        port: u16,
        /// The path, with its first slash; empty is `/`.
        path: String,
    },
}

impl Target {
    /// The address as it is shown in errors and named in `Host`, without a query.
    pub fn url(&self) -> String {
        match self {
            Self::Url(url) => {
                let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
                if after_scheme.contains('/') { url.clone() } else { format!("{url}/") }
            }
            Self::Service { namespace, name, port, path } => {
                let path = if path.is_empty() { "/" } else { path };
                format!("https://{name}.{namespace}.svc:{port}{path}")
            }
        }
    }
}

/// Posts `body` as JSON to `target`, which is told that it has `timeout` seconds, and answers the
/// body of its answer.
///
/// # Errors
/// What went wrong, as Go's client says it: nobody listens, a certificate that is not trusted,
/// `context deadline exceeded`, an answer that is no success or longer than [`ANSWER_BYTES_MAX`].
pub async fn post(
    clients: &Clients,
    view: &dyn View,
    target: &Target,
    ca_bundle: &[u8],
    timeout: Duration,
    body: Vec<u8>,
) -> Result<Bytes, String> {
    let shown = format!("{}?timeout={}s", target.url(), timeout.as_secs());
    let call = async {
        let _slot = clients.slot().await;
        let client = clients.client(Trust::Bundle(ca_bundle))?;
        let request = clients.request(&client, view, http::Method::POST, target, &shown).await?;
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, */*");
        let answer = request.body(body).send().await.map_err(|e| transport_text(&e))?;
        let status = answer.status().as_u16();
        let body = read(answer).await?;
        Ok::<_, String>((status, body))
    };
    let said = |text: String| format!("Post {shown:?}: {text}");
    match tokio::time::timeout(timeout, call).await {
        Err(_) => Err(said("context deadline exceeded".to_owned())),
        Ok(Err(text)) => Err(said(text)),
        Ok(Ok((200..=299, body))) => Ok(body),
        Ok(Ok((status, body))) => Err(server_text(status, &body)),
    }
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, String> {
    let mut all = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| transport_text(&e))? {
        if all.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}
