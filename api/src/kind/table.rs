//! The rows of the kind table.

use super::{Kind, NameRule, STANDARD_VERBS, Subresource, subresource as sub};

/// Verbs of Namespace: there is no deletecollection.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// Verbs of kinds that are answered and never stored.
const CREATE_ONLY: &[&str] = &["create"];

const NONE: &[Subresource] = &[];

/// What most kinds have; rows override the rest.
macro_rules! kind {
    ($group:literal, $dir:literal, $version:literal, $kind:literal, $plural:literal, $singular:literal, $message:literal
     $(, $field:ident: $value:expr)* $(,)?) => {
        &Kind {
            $($field: $value,)*
            ..Kind {
                group: $group,
                version: $version,
                kind: $kind,
                list_kind: concat!($kind, "List"),
                plural: $plural,
                singular: $singular,
                short_names: &[],
                categories: &[],
                namespaced: true,
                verbs: STANDARD_VERBS,
                subresources: NONE,
                generation: false,
                unconditional_update: true,
                create_on_update: false,
                graceful: false,
                delete_returns_object: false,
                name_rule: NameRule::Subdomain,
                topic: concat!("/registry/", $dir, "/", $plural, "/"),
                message: $message,
            }
        }
    };
}

/// A body without a resource of its own.
macro_rules! body {
    ($group:literal, $version:literal, $kind:literal, $message:literal) => {
        kind!($group, "none", $version, $kind, "", "", $message, verbs: &[])
    };
}

/// v1 Binding: a scheduler's decision; never stored.
pub static BINDING: &Kind = kind!("", "core", "v1", "Binding", "bindings", "binding", "core.v1.Binding",
    verbs: CREATE_ONLY);
/// v1 ConfigMap.
pub static CONFIG_MAP: &Kind = kind!("", "core", "v1", "ConfigMap", "configmaps", "configmap", "core.v1.ConfigMap",
    short_names: &["cm"]);
/// v1 Endpoints.
pub static ENDPOINTS: &Kind = kind!("", "core", "v1", "Endpoints", "endpoints", "endpoints", "core.v1.Endpoints",
    short_names: &["ep"], create_on_update: true);
/// v1 Event; the stored form of both Event kinds.
pub static EVENT: &Kind = kind!("", "core", "v1", "Event", "events", "event", "core.v1.Event",
    short_names: &["ev"], create_on_update: true);
/// v1 Namespace.
pub static NAMESPACE: &Kind = kind!("", "core", "v1", "Namespace", "namespaces", "namespace", "core.v1.Namespace",
    short_names: &["ns"], namespaced: false, verbs: NAMESPACE_VERBS, subresources: sub::OF_NAMESPACE,
    delete_returns_object: true, name_rule: NameRule::Label);
/// v1 Node.
pub static NODE: &Kind = kind!("", "core", "v1", "Node", "nodes", "node", "core.v1.Node",
    short_names: &["no"], namespaced: false, subresources: sub::OF_NODE);
/// v1 Pod.
pub static POD: &Kind = kind!("", "core", "v1", "Pod", "pods", "pod", "core.v1.Pod",
    short_names: &["po"], categories: &["all"], subresources: sub::OF_POD, generation: true,
    graceful: true, delete_returns_object: true);
/// v1 Secret.
pub static SECRET: &Kind = kind!("", "core", "v1", "Secret", "secrets", "secret", "core.v1.Secret");
/// v1 ServiceAccount.
pub static SERVICE_ACCOUNT: &Kind = kind!("", "core", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount",
    "core.v1.ServiceAccount",
    short_names: &["sa"], subresources: sub::OF_SERVICE_ACCOUNT, delete_returns_object: true);
/// v1 Service.
pub static SERVICE: &Kind = kind!("", "core", "v1", "Service", "services", "service", "core.v1.Service",
    short_names: &["svc"], categories: &["all"], subresources: sub::OF_SERVICE,
    create_on_update: true, delete_returns_object: true, name_rule: NameRule::Dns1035Label);
/// apps/v1 Deployment.
pub static DEPLOYMENT: &Kind = kind!("apps", "apps", "v1", "Deployment", "deployments", "deployment",
    "apps.v1.Deployment",
    short_names: &["deploy"], categories: &["all"], subresources: sub::SCALABLE, generation: true);
/// apps/v1 ReplicaSet.
pub static REPLICA_SET: &Kind = kind!("apps", "apps", "v1", "ReplicaSet", "replicasets", "replicaset",
    "apps.v1.ReplicaSet",
    short_names: &["rs"], categories: &["all"], subresources: sub::SCALABLE, generation: true);
/// events.k8s.io/v1 Event; stored as v1 Event.
pub static EVENTS_EVENT: &Kind = kind!("events.k8s.io", "core", "v1", "Event", "events", "event", "events.v1.Event",
    short_names: &["ev"], create_on_update: true);
/// authentication.k8s.io/v1 SelfSubjectReview.
pub static SELF_SUBJECT_REVIEW: &Kind = kind!("authentication.k8s.io", "authentication.k8s.io", "v1",
    "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview", "authentication.v1.SelfSubjectReview",
    verbs: CREATE_ONLY, namespaced: false);
/// authentication.k8s.io/v1 TokenReview.
pub static TOKEN_REVIEW: &Kind = kind!("authentication.k8s.io", "authentication.k8s.io", "v1",
    "TokenReview", "tokenreviews", "tokenreview", "authentication.v1.TokenReview",
    verbs: CREATE_ONLY, namespaced: false);
/// authorization.k8s.io/v1 LocalSubjectAccessReview.
pub static LOCAL_SUBJECT_ACCESS_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview",
    "authorization.v1.LocalSubjectAccessReview",
    verbs: CREATE_ONLY);
/// authorization.k8s.io/v1 SelfSubjectAccessReview.
pub static SELF_SUBJECT_ACCESS_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview",
    "authorization.v1.SelfSubjectAccessReview",
    verbs: CREATE_ONLY, namespaced: false);
/// authorization.k8s.io/v1 SelfSubjectRulesReview.
pub static SELF_SUBJECT_RULES_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview",
    "authorization.v1.SelfSubjectRulesReview",
    verbs: CREATE_ONLY, namespaced: false);
/// authorization.k8s.io/v1 SubjectAccessReview.
pub static SUBJECT_ACCESS_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview",
    "authorization.v1.SubjectAccessReview",
    verbs: CREATE_ONLY, namespaced: false);
/// rbac.authorization.k8s.io/v1 ClusterRoleBinding.
pub static CLUSTER_ROLE_BINDING: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", "rbac.v1.ClusterRoleBinding",
    namespaced: false, create_on_update: true, name_rule: NameRule::PathSegment);
/// rbac.authorization.k8s.io/v1 ClusterRole.
pub static CLUSTER_ROLE: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "ClusterRole", "clusterroles", "clusterrole", "rbac.v1.ClusterRole",
    namespaced: false, create_on_update: true, name_rule: NameRule::PathSegment);
/// rbac.authorization.k8s.io/v1 RoleBinding.
pub static ROLE_BINDING: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "RoleBinding", "rolebindings", "rolebinding", "rbac.v1.RoleBinding",
    create_on_update: true, name_rule: NameRule::PathSegment);
/// rbac.authorization.k8s.io/v1 Role.
pub static ROLE: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "Role", "roles", "role", "rbac.v1.Role",
    create_on_update: true, name_rule: NameRule::PathSegment);
/// scheduling.k8s.io/v1 PriorityClass.
pub static PRIORITY_CLASS: &Kind = kind!("scheduling.k8s.io", "scheduling.k8s.io", "v1",
    "PriorityClass", "priorityclasses", "priorityclass", "scheduling.v1.PriorityClass",
    short_names: &["pc"], namespaced: false, generation: true);
/// coordination.k8s.io/v1 Lease.
pub static LEASE: &Kind = kind!("coordination.k8s.io", "coordination.k8s.io", "v1",
    "Lease", "leases", "lease", "coordination.v1.Lease",
    create_on_update: true, unconditional_update: false);
/// discovery.k8s.io/v1 EndpointSlice.
pub static ENDPOINT_SLICE: &Kind = kind!("discovery.k8s.io", "discovery.k8s.io", "v1",
    "EndpointSlice", "endpointslices", "endpointslice", "discovery.v1.EndpointSlice",
    generation: true);

/// autoscaling/v1 Scale: body of the scale subresource.
pub static SCALE: &Kind = body!("autoscaling", "v1", "Scale", "autoscaling.v1.Scale");
/// policy/v1 Eviction: body of the eviction subresource.
pub static EVICTION: &Kind = body!("policy", "v1", "Eviction", "policy.v1.Eviction");
/// authentication.k8s.io/v1 TokenRequest: body of the token subresource.
pub static TOKEN_REQUEST: &Kind =
    body!("authentication.k8s.io", "v1", "TokenRequest", "authentication.v1.TokenRequest");
/// v1 Status.
pub static STATUS: &Kind = body!("", "v1", "Status", "meta.v1.Status");
/// meta.k8s.io/v1 DeleteOptions (any apiVersion is accepted in a delete).
pub static DELETE_OPTIONS: &Kind =
    body!("meta.k8s.io", "v1", "DeleteOptions", "meta.v1.DeleteOptions");

/// Kinds with a resource, in discovery order.
pub(super) static SERVED: &[&Kind] = &[
    BINDING,
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
    DEPLOYMENT,
    REPLICA_SET,
    EVENTS_EVENT,
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
    PRIORITY_CLASS,
    LEASE,
    ENDPOINT_SLICE,
];

/// Kinds that are bodies only.
pub(super) static BODIES: &[&Kind] = &[SCALE, EVICTION, TOKEN_REQUEST, STATUS, DELETE_OPTIONS];
