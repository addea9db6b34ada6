//! The URL space: which group, version, resource, namespace, name and subresource a path means
//! (apiserver `pkg/endpoints/request/requestinfo.go`). Purely syntactic: whether the resource
//! exists is asked later, after authorization, so that strangers learn nothing.

/// Longest path that is looked at, bytes.
const MAX_PATH_BYTES: usize = 8 * 1024;
/// Subresources of a Namespace; anything else after its name is a resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// A path below `/api/<version>/` or `/apis/<group>/<version>/`. Empty strings are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Resource (plural).
    pub resource: String,
    /// Namespace. Of a Namespace itself: its own name.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// Subresource.
    pub subresource: String,
    /// What follows the subresource: the path a proxy forwards.
    pub rest: String,
    /// The legacy form `/api/v1/watch/…`.
    pub legacy_watch: bool,
}

/// Reads a URL path; `None` when it names no resource (discovery, health, and everything unknown).
pub fn parse(path: &str) -> Option<ResourcePath> {
    if path.len() > MAX_PATH_BYTES {
        return None;
    }
    let trimmed = path.trim_matches('/');
    let segments: Vec<String> = trimmed.split('/').map(decode).collect::<Option<_>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, mut rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let mut found = ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        ..ResourcePath::default()
    };
    if let ["watch", after @ ..] = rest
        && !after.is_empty()
    {
        found.legacy_watch = true;
        rest = after;
    }
    if let ["namespaces", namespace, after @ ..] = rest {
        (*namespace).clone_into(&mut found.namespace);
        if after.first().is_some_and(|next| !NAMESPACE_SUBRESOURCES.contains(next)) {
            rest = after;
        }
    }
    let mut rest = rest.iter().copied();
    found.resource = rest.next()?.to_owned();
    found.name = rest.next().unwrap_or_default().to_owned();
    found.subresource = rest.next().unwrap_or_default().to_owned();
    found.rest = rest.collect::<Vec<_>>().join("/");
    if found.resource.is_empty() || (!found.rest.is_empty() && found.subresource != "proxy") {
        return None;
    }
    Some(found)
}

/// Percent-decodes one path segment. `None` for segments that could mean another object than they
/// show: empty, `.`, `..`, a slash inside, or broken escapes.
fn decode(segment: &str) -> Option<String> {
    let decoded = percent_decode(segment, false)?;
    let plain = !decoded.is_empty() && decoded != "." && decoded != ".." && !decoded.contains('/');
    plain.then_some(decoded)
}

/// Percent-decodes; with `plus`, `+` is a space as in query strings. `None` for broken escapes and
/// for text that is not UTF-8.
pub(super) fn percent_decode(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let pair = text.get(at + 1..at + 3)?;
                out.push(u8::from_str_radix(pair, 16).ok()?);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(path: &str) -> Option<[String; 6]> {
        let p = parse(path)?;
        Some([p.group, p.version, p.namespace, p.resource, p.name, p.subresource])
    }

    #[test]
    fn resource_paths() {
        for (path, want) in [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            ("/api/v1/nodes/n1/status", ["", "v1", "", "nodes", "n1", "status"]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/x", ["", "v1", "x", "namespaces", "x", ""]),
            ("/api/v1/namespaces/x/finalize", ["", "v1", "x", "namespaces", "x", "finalize"]),
            ("/api/v1/namespaces/x/pods/", ["", "v1", "x", "pods", "", ""]),
            ("/api/v1/namespaces/x/pods/p/log", ["", "v1", "x", "pods", "p", "log"]),
            (
                "/apis/apps/v1/namespaces/x/deployments/d/scale",
                ["apps", "v1", "x", "deployments", "d", "scale"],
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                ["rbac.authorization.k8s.io", "v1", "", "clusterroles", "system:node", ""],
            ),
            ("/api/v1/watch/namespaces/x/pods/p", ["", "v1", "x", "pods", "p", ""]),
        ] {
            assert_eq!(fields(path), Some(want.map(str::to_owned)), "{path}");
        }
        assert!(parse("/api/v1/watch/pods").unwrap().legacy_watch);
        assert_eq!(parse("/api/v1/namespaces/x/services/s/proxy/a/b").unwrap().rest, "a/b");
    }

    #[test]
    fn other_paths() {
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis/apps",
            "/apis/apps/v1",
            "/version",
            "/api/v1/namespaces/x/pods/p/log/more",
            "/api/v1/namespaces/../secrets",
            "/api/v1/namespaces/x%2Fy/pods",
            "/api/v1//pods",
            "/api/v1/pods/%zz",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
