//! Who asks: client certificate, bearer token or nobody, and whom they impersonate.

use actix_web::HttpRequest;
use kabuki_actors::auth::{Attributes, UserInfo};
use kabuki_api::status::Status;

use super::{connection::peer_certificate, face::Face, path::percent_decode};

/// Values of one impersonation header that are looked at.
const MAX_IMPERSONATED: usize = 256;
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The user of a request, or the one it is served as.
///
/// # Errors
/// 401 for a token that is refused or a certificate that has expired, 403 for an impersonation that is not allowed, 503 when a token
/// cannot be checked now.
pub async fn authenticate(face: &Face, request: &HttpRequest) -> Result<UserInfo, Status> {
    let user = credentials(face, request).await?;
    Ok(impersonated(face, request, &user)?.unwrap_or(user))
}

/// The name of the credentials a request came with, for the audit log.
pub(super) fn tried(request: &HttpRequest) -> &'static str {
    if peer_certificate(request).is_some() { "x509" } else { "bearer" }
}

/// The user a request's credentials prove.
pub(super) async fn credentials(face: &Face, request: &HttpRequest) -> Result<UserInfo, Status> {
    if let Some(peer) = peer_certificate(request) {
        let peer = peer.check(face.now())?;
        return Ok(face.authenticator.certificate(
            &peer.common_name,
            &peer.organizations,
            &peer.credential_id,
        ));
    }
    let header = request.headers().get("authorization").and_then(|v| v.to_str().ok());
    let Some(token) = header.and_then(bearer) else {
        return Ok(face.authenticator.anonymous());
    };
    face.authenticator.bearer(token).await.map_err(|error| {
        tracing::debug!(%error, "bearer token refused");
        error.status()
    })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The user the `Impersonate-` headers name, if there are any and the user may do that (apiserver
/// `pkg/endpoints/filters/impersonation`).
pub(super) fn impersonated(
    face: &Face,
    request: &HttpRequest,
    user: &UserInfo,
) -> Result<Option<UserInfo>, Status> {
    // Hardly any request does; one look at the names spares the rest.
    if !request.headers().keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(None);
    }
    let Some(wanted) = Wanted::of(request)? else { return Ok(None) };
    wanted.check(|asked| face.authorizer.authorize(user, &asked))?;
    Ok(Some(wanted.into_user()))
}

/// Whom a request wants to be.
#[derive(Debug, Default)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, String)>,
}

impl Wanted {
    fn of(request: &HttpRequest) -> Result<Option<Self>, Status> {
        let all = |name: &str| -> Vec<String> {
            let values = request.headers().get_all(name).take(MAX_IMPERSONATED);
            values.filter_map(|v| v.to_str().ok().map(str::to_owned)).collect()
        };
        let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
        let extra = request
            .headers()
            .iter()
            .filter_map(|(n, v)| Some((n.as_str().strip_prefix("impersonate-extra-")?, v)))
            .take(MAX_IMPERSONATED)
            // A key that is not escaped rightly is taken as it stands.
            .map(|(n, v)| (percent_decode(n, false).unwrap_or_else(|| n.to_owned()), v))
            .filter_map(|(n, v)| Some((n, v.to_str().ok()?.to_owned())));
        let wanted = Self {
            name: first("impersonate-user"),
            uid: first("impersonate-uid"),
            groups: all("impersonate-group"),
            extra: extra.collect(),
        };
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty() {
            return Ok(None);
        }
        Err(Status::bad_request(
            "requested impersonation of groups, uid or extra without impersonating a user",
        ))
    }

    /// Namespace and name of the service account, if the user is one.
    fn account(&self) -> Option<(&str, &str)> {
        let (namespace, account) = self.name.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
        (!namespace.is_empty() && !account.is_empty() && !account.contains(':'))
            .then_some((namespace, account))
    }

    /// Asks for each part of it.
    fn check(&self, may: impl Fn(Attributes<'_>) -> Result<(), Status>) -> Result<(), Status> {
        match self.account() {
            Some((namespace, account)) => {
                may(Attributes { namespace, ..target("", "serviceaccounts", account) })?;
            }
            None => may(target("", "users", &self.name))?,
        }
        for group in &self.groups {
            may(target("", "groups", group))?;
        }
        for (key, value) in &self.extra {
            let allowed = target("authentication.k8s.io", "userextras", value);
            may(Attributes { subresource: key, ..allowed })?;
        }
        if self.uid.is_empty() {
            return Ok(());
        }
        may(target("authentication.k8s.io", "uids", &self.uid))
    }

    /// The user, with the groups everybody of that sort is in.
    fn into_user(self) -> UserInfo {
        let mut groups = self.groups.clone();
        if let Some((namespace, account)) = self.account().filter(|_| groups.is_empty()) {
            groups = UserInfo::service_account(namespace, account, "").groups;
            groups.retain(|g| g != AUTHENTICATED);
        }
        let known = |name: &str| groups.iter().any(|g| g == name);
        if self.name == ANONYMOUS {
            if !known(UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !known(AUTHENTICATED) && !known(UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        let mut user = UserInfo { name: self.name, uid: self.uid, groups, ..UserInfo::default() };
        for (key, value) in self.extra {
            user.extra.entry(key).or_default().push(value);
        }
        user
    }
}

fn target<'a>(group: &'a str, resource: &'a str, name: &'a str) -> Attributes<'a> {
    Attributes {
        verb: "impersonate",
        group,
        version: "v1",
        resource,
        name,
        ..Attributes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, bearer};

    #[test]
    fn groups_that_come_by_themselves() {
        let groups = |name: &str, given: &[&str]| {
            let groups = given.iter().map(|g| (*g).to_owned()).collect();
            Wanted { name: name.into(), groups, ..Wanted::default() }.into_user().groups
        };
        assert_eq!(groups("u", &[]), ["system:authenticated"]);
        assert_eq!(groups("u", &["a"]), ["a", "system:authenticated"]);
        assert_eq!(groups("u", &["system:unauthenticated"]), ["system:unauthenticated"]);
        assert_eq!(groups("system:anonymous", &[]), ["system:unauthenticated"]);
        assert_eq!(
            groups("system:serviceaccount:d:x", &[]),
            ["system:serviceaccounts", "system:serviceaccounts:d", "system:authenticated"]
        );
        // Groups that are given are all there are.
        assert_eq!(groups("system:serviceaccount:d:x", &["a"]), ["a", "system:authenticated"]);
    }

    #[test]
    fn bearer_headers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("abc"), None);
    }
}
