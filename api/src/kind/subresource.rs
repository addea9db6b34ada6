//! Subresources: the endpoints below one object.

/// Group, version and kind of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupVersionKind {
    /// API group; empty for core.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
}

/// One endpoint below an object. Those with `served: false` answer that they are not implemented
/// and are left out of discovery.
#[derive(Debug)]
pub struct Subresource {
    /// Last path segment, such as `status`.
    pub name: &'static str,
    /// Kind of its body; `None` is the kind of the parent.
    pub body: Option<GroupVersionKind>,
    /// Its verbs.
    pub verbs: &'static [&'static str],
    /// Whether this server answers it.
    pub served: bool,
}

const GET_PATCH_UPDATE: &[&str] = &["get", "patch", "update"];
const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

const fn gvk(group: &'static str, version: &'static str, kind: &'static str) -> GroupVersionKind {
    GroupVersionKind { group, version, kind }
}

const fn sub(
    name: &'static str,
    body: Option<GroupVersionKind>,
    verbs: &'static [&'static str],
    served: bool,
) -> Subresource {
    Subresource { name, body, verbs, served }
}

const STATUS: Subresource = sub("status", None, GET_PATCH_UPDATE, true);
const SCALE: Subresource =
    sub("scale", Some(gvk("autoscaling", "v1", "Scale")), GET_PATCH_UPDATE, true);

/// Of kinds whose controller writes a status.
pub(super) const STATUS_ONLY: &[Subresource] = &[STATUS];
/// Of CertificateSigningRequest.
pub(super) const OF_SIGNING_REQUEST: &[Subresource] =
    &[sub("approval", None, GET_PATCH_UPDATE, true), STATUS];
/// Of kinds with a number of replicas.
pub(super) const SCALABLE: &[Subresource] = &[SCALE, STATUS];
const SCALE_ONLY: &[Subresource] = &[SCALE];

/// Of a custom kind.
pub(super) fn of_custom(status: bool, scale: bool) -> &'static [Subresource] {
    match (status, scale) {
        (true, true) => SCALABLE,
        (true, false) => STATUS_ONLY,
        (false, true) => SCALE_ONLY,
        (false, false) => &[],
    }
}

/// Of Namespace.
pub(super) const OF_NAMESPACE: &[Subresource] = &[sub("finalize", None, &["update"], true), STATUS];
/// Of Node.
pub(super) const OF_NODE: &[Subresource] =
    &[sub("proxy", Some(gvk("", "v1", "NodeProxyOptions")), PROXY, false), STATUS];
/// Of Service.
pub(super) const OF_SERVICE: &[Subresource] =
    &[sub("proxy", Some(gvk("", "v1", "ServiceProxyOptions")), PROXY, false), STATUS];
/// Of ServiceAccount.
pub(super) const OF_SERVICE_ACCOUNT: &[Subresource] =
    &[sub("token", Some(gvk("authentication.k8s.io", "v1", "TokenRequest")), &["create"], true)];
/// Of Pod.
pub(super) const OF_POD: &[Subresource] = &[
    sub("attach", Some(gvk("", "v1", "PodAttachOptions")), CONNECT, false),
    sub("binding", Some(gvk("", "v1", "Binding")), &["create"], true),
    sub("ephemeralcontainers", None, GET_PATCH_UPDATE, false),
    sub("eviction", Some(gvk("policy", "v1", "Eviction")), &["create"], true),
    sub("exec", Some(gvk("", "v1", "PodExecOptions")), CONNECT, false),
    sub("log", None, &["get"], true),
    sub("portforward", Some(gvk("", "v1", "PodPortForwardOptions")), CONNECT, false),
    sub("proxy", Some(gvk("", "v1", "PodProxyOptions")), PROXY, false),
    sub("resize", None, GET_PATCH_UPDATE, false),
    STATUS,
];
