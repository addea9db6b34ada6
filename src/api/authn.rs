//! Who asks: client certificate, bearer token or nobody, and whom they impersonate.

use actix_web::HttpRequest;
use kabuki_actors::auth::{Attributes, UserInfo};
use kabuki_api::status::Status;

use super::{connection::peer_certificate, face::Face, path::percent_decode};

/// Values of one impersonation header that are looked at.
const MAX_IMPERSONATED: usize = 256;
const AUTHENTICATED: &str = "system:authenticated";
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The user of a request.
///
/// # Errors
/// 401 for a token that is refused or a certificate that has expired, 403 for an impersonation that is not allowed, 503 when a token
/// cannot be checked now.
pub async fn authenticate(face: &Face, request: &HttpRequest) -> Result<UserInfo, Status> {
    let user = credentials(face, request).await?;
    // Hardly any request does; one look at the names spares the rest.
    if !request.headers().keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    impersonate(face, request, user)
}

async fn credentials(face: &Face, request: &HttpRequest) -> Result<UserInfo, Status> {
    if let Some(peer) = peer_certificate(request) {
        let peer = peer.check(face.now())?;
        return Ok(face.authenticator.certificate(&peer.common_name, &peer.organizations));
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

/// Replaces the user by the one the `Impersonate-` headers name, if the user may do that.
fn impersonate(face: &Face, request: &HttpRequest, user: UserInfo) -> Result<UserInfo, Status> {
    let all = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).take(MAX_IMPERSONATED);
        values.filter_map(|v| v.to_str().ok().map(str::to_owned)).collect()
    };
    let name = all("impersonate-user").into_iter().next().unwrap_or_default();
    let groups = all("impersonate-group");
    let uid = all("impersonate-uid").into_iter().next().unwrap_or_default();
    let extra: Vec<(String, String)> = request
        .headers()
        .iter()
        .filter_map(|(n, v)| Some((n.as_str().strip_prefix("impersonate-extra-")?, v)))
        .take(MAX_IMPERSONATED)
        .filter_map(|(n, v)| Some((percent_decode(n, false)?, v.to_str().ok()?.to_owned())))
        .collect();
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request(
            "requested impersonation of groups, uid or extra without impersonating a user",
        ));
    }
    let mut wanted = UserInfo { name: name.clone(), uid: uid.clone(), ..UserInfo::default() };
    let may = |attributes: Attributes<'_>| face.authorizer.authorize(&user, &attributes);
    if let Some((namespace, account)) =
        name.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'))
    {
        may(Attributes { namespace, ..target("", "serviceaccounts", account) })?;
        wanted.groups = UserInfo::service_account(namespace, account, "").groups;
    } else {
        may(target("", "users", &name))?;
    }
    for group in &groups {
        may(target("", "groups", group))?;
        wanted.groups.push(group.clone());
    }
    if !uid.is_empty() {
        may(target("authentication.k8s.io", "uids", &uid))?;
    }
    for (key, value) in extra {
        let allowed = target("authentication.k8s.io", "userextras", &value);
        may(Attributes { subresource: &key, ..allowed })?;
        wanted.extra.entry(key).or_default().push(value);
    }
    if name != "system:anonymous" && !wanted.in_group(AUTHENTICATED) {
        wanted.groups.push(AUTHENTICATED.to_owned());
    }
    Ok(wanted)
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
    use super::bearer;

    #[test]
    fn bearer_headers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("abc"), None);
    }
}
