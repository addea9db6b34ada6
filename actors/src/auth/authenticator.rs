//! From credentials to a user.

use kabuki_api::{
    kind::{Kind, NODE, POD, SECRET, SERVICE_ACCOUNT},
    status::Status,
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    bootstrap_token::BootstrapError,
    keys::{BoundRef, Claims},
    token_store::TokenStore,
    user::UserInfo,
};
use crate::registry::{Object, Registry, View};

/// How long a token of a pod that is being deleted stays valid after the deletion was due.
const DELETED_POD_GRACE: Duration = Duration::seconds(60);
/// Difference of clocks between members that is tolerated.
const CLOCK_SKEW: Duration = Duration::seconds(60);

/// Why a credential was refused. Clients are told only `Unauthorized` ([`AuthError::status`]);
/// the message is for the log and for joining machines.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AuthError {
    /// A service-account token.
    #[error("service account token refused: {0}")]
    ServiceAccount(String),
    /// A bootstrap token.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// No quorum to check against.
    #[error("cannot check the token now: {0}")]
    Unavailable(String),
}

impl AuthError {
    /// The answer to a client.
    pub fn status(&self) -> Status {
        match self {
            Self::Unavailable(text) => Status::unavailable(text.clone()),
            _ => Status::unauthorized(""),
        }
    }
}

/// Turns credentials into users.
#[derive(Clone)]
pub struct Authenticator {
    registry: Registry,
    tokens: TokenStore,
}

impl Authenticator {
    /// An authenticator over the accounts in `registry`; its keys are those of the registry's
    /// configuration.
    pub fn new(registry: Registry) -> Self {
        Self { tokens: TokenStore::new(registry.clone()), registry }
    }

    /// The user a verified client certificate proves.
    pub fn certificate(
        &self,
        common_name: &str,
        organizations: &[String],
        credential_id: &str,
    ) -> UserInfo {
        UserInfo::certificate(common_name, organizations).with_credential(credential_id)
    }

    /// The user of a request without credentials.
    pub fn anonymous(&self) -> UserInfo {
        UserInfo::anonymous()
    }

    /// The user of a bearer token: a service-account token or a bootstrap token.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn bearer(&self, token: &str) -> Result<UserInfo, AuthError> {
        let issuer = self.registry.config().issuer.clone();
        self.bearer_for(token, &[issuer]).await.map(|(user, _)| user)
    }

    /// As [`Authenticator::bearer`], for a token meant for one of `audiences` (a TokenReview).
    /// Answers the audiences both have in common.
    ///
    /// # Errors
    /// Why the token is refused.
    pub async fn bearer_for(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<(UserInfo, Vec<String>), AuthError> {
        if token.len() == TokenStore::BEARER_BYTES && token.matches('.').count() == 1 {
            let token = self.tokens.check(token).await?;
            return Ok((token.user(), audiences.to_vec()));
        }
        self.service_account(token, audiences).await
    }

    async fn service_account(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<(UserInfo, Vec<String>), AuthError> {
        let refuse = |text: &str| AuthError::ServiceAccount(text.to_owned());
        let keys = self.registry.config().keys.as_ref();
        let keys = keys.ok_or_else(|| refuse("this server has no service account keys"))?;
        let claims = keys.verify(token).map_err(|e| AuthError::ServiceAccount(e.to_string()))?;
        let common: Vec<_> = audiences.iter().filter(|a| claims.aud.contains(a)).cloned().collect();
        if claims.iss != self.registry.config().issuer {
            return Err(refuse("it is of another issuer"));
        }
        if common.is_empty() {
            return Err(refuse("it is for another audience"));
        }
        check_times(&claims, self.registry.now())?;
        if let Err(first) = bound(&self.registry, &claims, self.registry.now()) {
            // The account may be so new that it is not applied on this member yet.
            self.registry.barrier().await.map_err(|s| AuthError::Unavailable(s.message.clone()))?;
            bound(&self.registry, &claims, self.registry.now()).map_err(|_| first)?;
        }
        Ok((user_of(&claims), common))
    }
}

fn check_times(claims: &Claims, now: OffsetDateTime) -> Result<(), AuthError> {
    let now = now.unix_timestamp();
    if now >= claims.exp {
        return Err(AuthError::ServiceAccount("it has expired".into()));
    }
    if now + CLOCK_SKEW.whole_seconds() < claims.nbf {
        return Err(AuthError::ServiceAccount("it is not valid yet".into()));
    }
    Ok(())
}

/// Whether the account and what the token is bound to are still there.
fn bound(view: &dyn View, claims: &Claims, now: OffsetDateTime) -> Result<(), AuthError> {
    let k = &claims.kubernetes;
    let account =
        BoundRef { name: k.serviceaccount.name.clone(), uid: k.serviceaccount.uid.clone() };
    alive(view, SERVICE_ACCOUNT, &k.namespace, &account)?;
    if let Some(secret) = &k.secret {
        alive(view, SECRET, &k.namespace, secret)?;
    }
    if let Some(pod) = &k.pod {
        let pod = alive(view, POD, &k.namespace, pod)?;
        let due = pod.metadata()["deletionTimestamp"].as_str().unwrap_or_default();
        if let Ok(due) = OffsetDateTime::parse(due, &Rfc3339)
            && now > due + DELETED_POD_GRACE
        {
            return Err(AuthError::ServiceAccount("its pod is being deleted".into()));
        }
    } else if let Some(node) = &k.node {
        alive(view, NODE, "", node)?;
    }
    Ok(())
}

fn alive(
    view: &dyn View,
    kind: &'static Kind,
    ns: &str,
    wanted: &BoundRef,
) -> Result<std::sync::Arc<Object>, AuthError> {
    match view.get(kind, ns, &wanted.name) {
        Some(object) if object.uid() == wanted.uid => Ok(object),
        Some(_) => Err(AuthError::ServiceAccount(format!(
            "its {} {:?} was deleted and made anew",
            kind.singular, wanted.name
        ))),
        None => Err(AuthError::ServiceAccount(format!(
            "its {} {:?} is gone",
            kind.singular, wanted.name
        ))),
    }
}

fn user_of(claims: &Claims) -> UserInfo {
    let k = &claims.kubernetes;
    let mut user =
        UserInfo::service_account(&k.namespace, &k.serviceaccount.name, &k.serviceaccount.uid);
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            let name = format!("authentication.kubernetes.io/{name}");
            user.extra.insert(name, vec![value.to_owned()]);
        }
    };
    if let Some(pod) = &k.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &k.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    if !claims.jti.is_empty() {
        add("credential-id", &format!("JTI={}", claims.jti));
    }
    user
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::{
        auth::{KubernetesClaims, SubjectRef},
        registry::MemView,
    };

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn claims() -> Claims {
        let now = NOW.unix_timestamp();
        Claims {
            aud: vec![],
            exp: now + 10,
            iat: now,
            iss: String::new(),
            jti: "t".into(),
            nbf: now,
            sub: String::new(),
            kubernetes: KubernetesClaims {
                namespace: "d".into(),
                serviceaccount: SubjectRef { name: "x".into(), uid: "1".into() },
                pod: Some(BoundRef { name: "p".into(), uid: "2".into() }),
                ..KubernetesClaims::default()
            },
        }
    }

    fn view(pod_uid: &str, deleted: Option<&str>) -> MemView {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": pod_uid}});
        if let Some(at) = deleted {
            pod["metadata"]["deletionTimestamp"] = at.into();
        }
        MemView::new()
            .with(SERVICE_ACCOUNT, json!({"metadata": {"name": "x", "namespace": "d", "uid": "1"}}))
            .with(POD, pod)
    }

    #[test]
    fn a_token_dies_with_what_it_is_bound_to() {
        assert!(bound(&view("2", None), &claims(), NOW).is_ok());
        assert!(bound(&view("2", Some("2026-01-02T03:04:00Z")), &claims(), NOW).is_ok());
        for bad in [view("3", None), view("2", Some("2026-01-02T03:00:00Z")), MemView::new()] {
            assert!(bound(&bad, &claims(), NOW).is_err());
        }
    }

    #[test]
    fn times() {
        assert!(check_times(&claims(), NOW).is_ok());
        assert!(check_times(&claims(), NOW + Duration::seconds(10)).is_err());
        assert!(check_times(&claims(), NOW - Duration::seconds(61)).is_err());
    }

    #[test]
    fn the_user_says_which_pod_holds_the_token() {
        let user = user_of(&claims());
        assert_eq!(user.name, "system:serviceaccount:d:x");
        assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
        assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=t"]);
    }
}
