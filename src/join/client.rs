//! The joining machine's side.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;

use super::{
    JOIN_PATH, JoinAnswer, JoinRequest, JoinToken, MEMBER_PATH, MemberRequest,
    pinned::PinnedAuthority,
};
use crate::pki::{Clock, Credential, Issued, client_config};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a call is tried while the other side is not ready.
const TRIES_MAX: u32 = 30;
/// Pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The URL cannot be used.
    #[error("{0:?} is not a join address: write https://HOST:6443")]
    Url(String),
    /// The cluster does not have the authority the token names.
    #[error("join refused: {0}; use a token created on this cluster")]
    Foreign(String),
    /// The cluster answered and said no.
    #[error("join refused by the cluster: {0}")]
    Refused(String),
    /// Nobody answered, or not in time.
    #[error("cannot reach {url}: {detail}")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        detail: String,
    },
    /// The answer makes no sense.
    #[error("the cluster's answer cannot be used: {0}; check that both run compatible versions")]
    Answer(String),
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
}

/// Asks the cluster at `url` to be taken in.
///
/// # Errors
/// [`JoinError`]; a refusal carries the cluster's reason and is not tried again.
pub async fn join(
    url: &str,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let verifier = Arc::new(PinnedAuthority::new(&token.ca_hash));
    let tls = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let answer =
        call(url, JOIN_PATH, tls, Some(&token.bearer()), &serde_json::json!(request)).await?;
    serde_json::from_slice(&answer).map_err(|e| JoinError::Answer(e.to_string()))
}

/// Asks to be added to the quorum, with the certificate of a member.
///
/// # Errors
/// [`JoinError`]; while the cluster has no leader the call is tried again for some seconds.
pub async fn register_member(
    url: &str,
    ca_pem: &str,
    (identity, clock): (&Issued, Clock),
    request: &MemberRequest,
) -> Result<(), JoinError> {
    let credential = Credential::new(identity.clone(), "")?;
    let tls = client_config(ca_pem, Some(&credential), clock)?;
    call(url, MEMBER_PATH, tls, None, &serde_json::json!(request)).await.map(drop)
}

async fn call(
    url: &str,
    path: &str,
    tls: ClientConfig,
    bearer: Option<&str>,
    body: &serde_json::Value,
) -> Result<Vec<u8>, JoinError> {
    let base = url.trim_end_matches('/');
    if !base.starts_with("https://") {
        return Err(JoinError::Url(url.to_string()));
    }
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(CALL_TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|e| JoinError::Answer(e.to_string()))?;
    let mut last = String::new();
    for attempt in 0..TRIES_MAX {
        if attempt > 0 {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let mut request = client.post(format!("{base}{path}")).json(body);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        match request.send().await {
            Ok(response) => match settle(response).await? {
                Settled::Done(bytes) => return Ok(bytes),
                Settled::Again(detail) => last = detail,
            },
            Err(error) => {
                let detail = chain(&error);
                if detail.contains("token is for another cluster") {
                    return Err(JoinError::Foreign(detail));
                }
                last = detail;
            }
        }
    }
    Err(JoinError::Unreachable { url: url.to_string(), detail: last })
}

enum Settled {
    Done(Vec<u8>),
    Again(String),
}

async fn settle(response: reqwest::Response) -> Result<Settled, JoinError> {
    let status = response.status();
    if response.content_length().is_some_and(|n| n > ANSWER_BYTES_MAX as u64) {
        return Err(JoinError::Answer("it is larger than 1 MiB".to_string()));
    }
    let bytes = match response.bytes().await {
        Ok(bytes) => bytes.to_vec(),
        Err(error) => return Ok(Settled::Again(chain(&error))),
    };
    if status.is_success() {
        return Ok(Settled::Done(bytes));
    }
    let message = serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|v| v["message"].as_str().map(String::from))
        .unwrap_or_else(|| format!("HTTP status {status}"));
    match status.as_u16() {
        429 | 500 | 503 | 504 => Ok(Settled::Again(message)),
        _ => Err(JoinError::Refused(message)),
    }
}

/// The error with everything that caused it: reqwest's own text hides the TLS reason.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
