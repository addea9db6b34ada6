//! Service account tokens for projected volumes, requested bound to the pod and renewed before
//! they expire.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use k8s_openapi::{
    api::{
        authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
        core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection, Volume},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::kubelet::pod_view::PodView;

/// Lifetime asked for where the volume names none, in seconds.
const DEFAULT_SECONDS: i64 = 3600;
/// A token is renewed at the latest after this, however long it is valid.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// One request.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// What makes one token of a pod different from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenRef {
    audience: Option<String>,
    seconds: i64,
}

impl TokenRef {
    /// The token a projection asks for.
    pub fn of(projection: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: projection.audience.clone().filter(|a| !a.is_empty()),
            seconds: projection.expiration_seconds.unwrap_or(DEFAULT_SECONDS),
        }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    token: String,
    renew_at: SystemTime,
}

/// Tokens of the pods of this node, in memory only.
#[derive(Default)]
pub struct Tokens {
    kept: Mutex<HashMap<(String, TokenRef), Kept>>,
}

impl Tokens {
    /// All tokens a volume needs.
    ///
    /// # Errors
    /// The API refused one, or did not answer.
    pub async fn fetch(
        &self,
        client: &Client,
        pod: &Pod,
        volume: &Volume,
    ) -> Result<HashMap<TokenRef, String>, String> {
        let sources = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
        let mut tokens = HashMap::new();
        for projection in sources.filter_map(|s| s.service_account_token.as_ref()) {
            let wanted = TokenRef::of(projection);
            let key = (pod.uid().to_owned(), wanted.clone());
            let kept = self.kept.lock().get(&key).cloned();
            let now = SystemTime::now();
            let token = match kept.filter(|k| k.renew_at > now) {
                Some(kept) => kept.token,
                None => {
                    let fresh = request(client, pod, &wanted, now).await?;
                    self.kept.lock().insert(key, fresh.clone());
                    fresh.token
                }
            };
            tokens.insert(wanted, token);
        }
        Ok(tokens)
    }

    /// Forgets the tokens of a pod.
    pub fn forget(&self, uid: &str) {
        self.kept.lock().retain(|(owner, _), _| owner != uid);
    }
}

async fn request(
    client: &Client,
    pod: &Pod,
    wanted: &TokenRef,
    now: SystemTime,
) -> Result<Kept, String> {
    let account = pod.spec.as_ref().and_then(|s| s.service_account_name.clone());
    let account = account.filter(|a| !a.is_empty()).unwrap_or_else(|| "default".to_owned());
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), PodView::namespace(pod));
    let body = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: Some(TokenRequestSpec {
            audiences: Some(wanted.audience.clone().into_iter().collect()),
            expiration_seconds: Some(wanted.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(PodView::name(pod).to_owned()),
                uid: Some(pod.uid().to_owned()),
            }),
        }),
        status: None,
    };
    let failed = |reason: String| format!("failed to fetch token: {reason}");
    let params = PostParams::default();
    let asked = timeout(REQUEST_WITHIN, api.create_token_request(&account, &params, &body));
    let answer = asked
        .await
        .map_err(|_| failed(format!("no answer within {} s", REQUEST_WITHIN.as_secs())))?
        .map_err(|e| failed(e.to_string()))?;
    let token = answer.status.and_then(|s| s.token).unwrap_or_default();
    if token.is_empty() {
        return Err(failed("the API answered without a token".to_owned()));
    }
    // As upstream: renewed at 80 % of the lifetime asked for; the real one may be longer.
    let lifetime = Duration::from_secs(wanted.seconds.unsigned_abs()).mul_f64(0.8);
    Ok(Kept { token, renew_at: now + lifetime.min(MAX_AGE) })
}
