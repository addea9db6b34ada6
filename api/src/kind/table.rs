//! The rows of the kind table.

use super::{
    Kind, NameRule, admission::*, aggregation::*, cluster::*, extension::*, network::*,
    policies::*, storage::*, subresource as sub, workloads::*,
};
use serde_json::json;

use crate::{defaults, table, validate};

/// Verbs of Namespace: there is no deletecollection.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// Verbs of kinds that are answered and never stored.
const CREATE_ONLY: &[&str] = &["create"];

/// v1 Binding: a scheduler's decision; never stored.
pub static BINDING: &Kind = kind!("", "core", "v1", "Binding", "bindings", "binding", "core.v1.Binding",
    verbs: CREATE_ONLY,
    check: validate::small::binding);
/// v1 ConfigMap.
pub static CONFIG_MAP: &Kind = kind!("", "core", "v1", "ConfigMap", "configmaps", "configmap", "core.v1.ConfigMap",
    short_names: &["cm"],
    check: validate::config::config_map,
    check_change: validate::config::config_map_update,
    columns: table::columns::CONFIG_MAPS,
    row: table::core::config_map);
/// v1 Endpoints.
pub static ENDPOINTS: &Kind = kind!("", "core", "v1", "Endpoints", "endpoints", "endpoints", "core.v1.Endpoints",
    short_names: &["ep"], create_on_update: true,
    defaults: defaults::endpoints,
    check: validate::endpoints::endpoints,
    columns: table::columns::ENDPOINTS,
    row: table::core::endpoints);
/// v1 Event; the stored form of both Event kinds.
pub static EVENT: &Kind = kind!("", "core", "v1", "Event", "events", "event", "core.v1.Event",
short_names: &["ev"], create_on_update: true,
check: validate::small::event,
columns: table::columns::EVENTS,
row: table::core::event,
selectable: &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
]);
/// v1 Namespace.
pub static NAMESPACE: &Kind = kind!("", "core", "v1", "Namespace", "namespaces", "namespace", "core.v1.Namespace",
    short_names: &["ns"], namespaced: false, verbs: NAMESPACE_VERBS, subresources: sub::OF_NAMESPACE,
    delete_returns_object: true, name_rule: NameRule::Label,
    defaults: defaults::namespace,
    first_status: |_| json!({"phase": "Active"}),
    selectable: &["status.phase"],
    columns: table::columns::NAMESPACES,
    row: table::core::namespace);
/// v1 Node.
pub static NODE: &Kind = kind!("", "core", "v1", "Node", "nodes", "node", "core.v1.Node",
    short_names: &["no"], namespaced: false, subresources: sub::OF_NODE,
    defaults: defaults::node,
    first_status: defaults::status::node,
    check: validate::small::node,
    check_change: validate::small::node_update,
    selectable: &["spec.unschedulable"],
    columns: table::columns::NODES,
    row: table::core::node);
/// v1 Pod.
pub static POD: &Kind = kind!("", "core", "v1", "Pod", "pods", "pod", "core.v1.Pod",
short_names: &["po"], categories: &["all"], subresources: sub::OF_POD, generation: true,
graceful: true, delete_returns_object: true,
defaults: defaults::pod::pod,
first_status: defaults::status::pod,
prepare_change: defaults::pod::keep_priority,
check_new: validate::pod::create,
check_change: validate::pod_update::update,
columns: table::columns::PODS,
row: table::pod::row,
selectable: &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
]);
/// v1 Secret.
pub static SECRET: &Kind = kind!("", "core", "v1", "Secret", "secrets", "secret", "core.v1.Secret",
    defaults: defaults::secret,
    check: validate::config::secret,
    check_change: validate::config::secret_update,
    selectable: &["type"],
    columns: table::columns::SECRETS,
    row: table::core::secret);
/// v1 ServiceAccount.
pub static SERVICE_ACCOUNT: &Kind = kind!("", "core", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount",
    "core.v1.ServiceAccount",
    short_names: &["sa"], subresources: sub::OF_SERVICE_ACCOUNT, delete_returns_object: true,
    columns: table::columns::NAME_AND_AGE,
    row: table::core::name_and_age);
/// v1 Service.
pub static SERVICE: &Kind = kind!("", "core", "v1", "Service", "services", "service", "core.v1.Service",
    short_names: &["svc"], categories: &["all"], subresources: sub::OF_SERVICE,
    create_on_update: true, delete_returns_object: true, name_rule: NameRule::Dns1035Label,
    defaults: defaults::service::service,
    first_status: |_| json!({"loadBalancer": {}}),
    check: validate::service::create,
    check_change: validate::service::update,
    selectable: &["spec.clusterIP", "spec.type"],
    columns: table::columns::SERVICES,
    row: table::core::service);
/// apps/v1 Deployment.
pub static DEPLOYMENT: &Kind = kind!("apps", "apps", "v1", "Deployment", "deployments", "deployment",
    "apps.v1.Deployment",
    short_names: &["deploy"], categories: &["all"], subresources: sub::SCALABLE, generation: true,
    defaults: defaults::workload::deployment,
    check: validate::workload::deployment,
    check_change: validate::workload::update,
    columns: table::columns::DEPLOYMENTS,
    row: table::workload::deployment);
/// apps/v1 ReplicaSet.
pub static REPLICA_SET: &Kind = kind!("apps", "apps", "v1", "ReplicaSet", "replicasets", "replicaset",
    "apps.v1.ReplicaSet",
    short_names: &["rs"], categories: &["all"], subresources: sub::SCALABLE, generation: true,
    defaults: defaults::workload::replica_set,
    check: validate::workload::replica_set,
    check_change: validate::workload::update,
    columns: table::columns::REPLICA_SETS,
    row: table::workload::replica_set,
    selectable: &["status.replicas"]);
/// events.k8s.io/v1 Event; stored as v1 Event.
pub static EVENTS_EVENT: &Kind = kind!("events.k8s.io", "core", "v1", "Event", "events", "event", "events.v1.Event",
short_names: &["ev"], create_on_update: true,
stored_as: Some(EVENT),
check: validate::small::new_event,
columns: table::columns::EVENTS,
row: table::core::event,
selectable: &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
]);
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
    verbs: CREATE_ONLY,
    check: |out, object| validate::small::access_review(out, object, true));
/// authorization.k8s.io/v1 SelfSubjectAccessReview.
pub static SELF_SUBJECT_ACCESS_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview",
    "authorization.v1.SelfSubjectAccessReview",
    verbs: CREATE_ONLY, namespaced: false,
    check: |out, object| validate::small::access_review(out, object, false));
/// authorization.k8s.io/v1 SelfSubjectRulesReview.
pub static SELF_SUBJECT_RULES_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview",
    "authorization.v1.SelfSubjectRulesReview",
    verbs: CREATE_ONLY, namespaced: false);
/// authorization.k8s.io/v1 SubjectAccessReview.
pub static SUBJECT_ACCESS_REVIEW: &Kind = kind!("authorization.k8s.io", "authorization.k8s.io", "v1",
    "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview",
    "authorization.v1.SubjectAccessReview",
    verbs: CREATE_ONLY, namespaced: false,
    check: |out, object| validate::small::access_review(out, object, true));
/// rbac.authorization.k8s.io/v1 ClusterRoleBinding.
pub static CLUSTER_ROLE_BINDING: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding", "rbac.v1.ClusterRoleBinding",
    namespaced: false, create_on_update: true, name_rule: NameRule::PathSegment,
    defaults: defaults::binding,
    check: |out, object| validate::rbac::binding(out, object, false),
    check_change: validate::rbac::binding_update,
    columns: table::columns::BINDINGS,
    row: table::rbac::binding);
/// rbac.authorization.k8s.io/v1 ClusterRole.
pub static CLUSTER_ROLE: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "ClusterRole", "clusterroles", "clusterrole", "rbac.v1.ClusterRole",
    namespaced: false, create_on_update: true, name_rule: NameRule::PathSegment,
    check: |out, object| validate::rbac::role(out, object, false));
/// rbac.authorization.k8s.io/v1 RoleBinding.
pub static ROLE_BINDING: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "RoleBinding", "rolebindings", "rolebinding", "rbac.v1.RoleBinding",
    create_on_update: true, name_rule: NameRule::PathSegment,
    defaults: defaults::binding,
    check: |out, object| validate::rbac::binding(out, object, true),
    check_change: validate::rbac::binding_update,
    columns: table::columns::BINDINGS,
    row: table::rbac::binding);
/// rbac.authorization.k8s.io/v1 Role.
pub static ROLE: &Kind = kind!("rbac.authorization.k8s.io", "rbac.authorization.k8s.io", "v1",
    "Role", "roles", "role", "rbac.v1.Role",
    create_on_update: true, name_rule: NameRule::PathSegment,
    check: |out, object| validate::rbac::role(out, object, true));
/// scheduling.k8s.io/v1 PriorityClass.
pub static PRIORITY_CLASS: &Kind = kind!("scheduling.k8s.io", "scheduling.k8s.io", "v1",
    "PriorityClass", "priorityclasses", "priorityclass", "scheduling.v1.PriorityClass",
    short_names: &["pc"], namespaced: false, generation: true,
    defaults: defaults::priority_class,
    check: validate::small::priority_class,
    check_change: validate::small::priority_class_update,
    columns: table::columns::PRIORITY_CLASSES,
    row: table::core::priority_class);
/// coordination.k8s.io/v1 Lease.
pub static LEASE: &Kind = kind!("coordination.k8s.io", "coordination.k8s.io", "v1",
    "Lease", "leases", "lease", "coordination.v1.Lease",
    create_on_update: true, unconditional_update: false,
    check: validate::small::lease,
    columns: table::columns::LEASES,
    row: table::core::lease);
/// discovery.k8s.io/v1 EndpointSlice.
pub static ENDPOINT_SLICE: &Kind = kind!("discovery.k8s.io", "discovery.k8s.io", "v1",
    "EndpointSlice", "endpointslices", "endpointslice", "discovery.v1.EndpointSlice",
    generation: true,
    defaults: defaults::endpoint_slice,
    check: validate::endpoints::slice,
    check_change: validate::endpoints::slice_update,
    columns: table::columns::ENDPOINT_SLICES,
    row: table::core::endpoint_slice);

/// autoscaling/v1 Scale: body of the scale subresource.
pub static SCALE: &Kind = body!("autoscaling", "v1", "Scale", "autoscaling.v1.Scale",
    check: validate::workload::scale,
    columns: table::columns::SCALES,
    row: table::workload::scale);
/// policy/v1 Eviction: body of the eviction subresource.
pub static EVICTION: &Kind = body!("policy", "v1", "Eviction", "policy.v1.Eviction");
/// authentication.k8s.io/v1 TokenRequest: body of the token subresource.
pub static TOKEN_REQUEST: &Kind = body!("authentication.k8s.io", "v1", "TokenRequest", "authentication.v1.TokenRequest",
        defaults: defaults::token_request, check: validate::small::token_request);
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
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    POD,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
    API_SERVICE,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    REPLICA_SET,
    STATEFUL_SET,
    EVENTS_EVENT,
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    HORIZONTAL_POD_AUTOSCALER,
    HORIZONTAL_POD_AUTOSCALER_V1,
    CRON_JOB,
    JOB,
    CERTIFICATE_SIGNING_REQUEST,
    INGRESS_CLASS,
    INGRESS,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
    VOLUME_ATTRIBUTES_CLASS,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_WEBHOOK_CONFIGURATION,
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    PRIORITY_CLASS,
    LEASE,
    RUNTIME_CLASS,
    ENDPOINT_SLICE,
    FLOW_SCHEMA,
    PRIORITY_LEVEL_CONFIGURATION,
    CUSTOM_RESOURCE_DEFINITION,
];

/// Kinds that are bodies only.
pub(super) static BODIES: &[&Kind] = &[SCALE, EVICTION, TOKEN_REQUEST, STATUS, DELETE_OPTIONS];
