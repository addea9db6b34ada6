//! The default roles and bindings as data; behaviour of upstream's
//! `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`. Groups, resources, names and verbs are
//! separated by spaces; `core` is the empty group.

/// One rule: groups, resources, resource names, verbs.
pub(super) type RuleRow = (&'static str, &'static str, &'static str, &'static str);

/// Kind and name of a subject.
pub(super) type SubjectRow = (&'static str, &'static str);

/// One default ClusterRole.
pub(super) struct RoleRow {
    pub(super) name: &'static str,
    /// `admin`, `edit` or `view`: the role this one's rules are added to.
    pub(super) aggregates_to: &'static str,
    pub(super) rules: &'static [RuleRow],
    /// Paths that can be read.
    pub(super) paths: &'static str,
}

pub(super) const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";
pub(super) const EVENTS: RuleRow = ("core events.k8s.io", "events", "", "create patch update");
const TOKEN_REVIEW: RuleRow = ("authentication.k8s.io", "tokenreviews", "", "create");
const ACCESS_REVIEW: RuleRow = ("authorization.k8s.io", "subjectaccessreviews", "", "create");

const fn role(name: &'static str, rules: &'static [RuleRow]) -> RoleRow {
    RoleRow { name, aggregates_to: "", rules, paths: "" }
}

const fn paths(name: &'static str, paths: &'static str) -> RoleRow {
    RoleRow { name, aggregates_to: "", rules: &[], paths }
}

const fn part(
    name: &'static str,
    aggregates_to: &'static str,
    rules: &'static [RuleRow],
) -> RoleRow {
    RoleRow { name, aggregates_to, rules, paths: "" }
}

/// (aggregating role, the role it is itself added to).
pub(super) const AGGREGATED: &[(&str, &str)] =
    &[("admin", ""), ("edit", "admin"), ("view", "edit")];

/// All ClusterRoles but cluster-admin and the aggregating ones.
pub(super) const ROLES: &[RoleRow] = &[
    part(
        "system:aggregate-to-admin",
        "admin",
        &[
            ("authorization.k8s.io", "localsubjectaccessreviews", "", "create"),
            ("rbac.authorization.k8s.io", "rolebindings roles", "", ALL),
        ],
    ),
    part(
        "system:aggregate-to-edit",
        "edit",
        &[
            (
                "core",
                "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
                "",
                READ,
            ),
            ("core", "serviceaccounts", "", "impersonate"),
            ("core", "pods pods/attach pods/exec pods/portforward pods/proxy", "", WRITE),
            ("core", "pods/eviction", "", "create"),
            (
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
                "",
                WRITE,
            ),
            ("core", "serviceaccounts/token", "", "create"),
            (
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
                "",
                WRITE,
            ),
            ("autoscaling", "horizontalpodautoscalers", "", WRITE),
            ("batch", "cronjobs jobs", "", WRITE),
            (
                "extensions",
                "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
                "",
                WRITE,
            ),
            ("policy", "poddisruptionbudgets", "", WRITE),
            ("networking.k8s.io", "ingresses networkpolicies", "", WRITE),
            ("coordination.k8s.io", "leases", "", ALL),
        ],
    ),
    part(
        "system:aggregate-to-view",
        "view",
        &[
            (
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
                "",
                READ,
            ),
            (
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status resourcequotas resourcequotas/status",
                "",
                READ,
            ),
            ("core", "namespaces", "", READ),
            ("discovery.k8s.io", "endpointslices", "", READ),
            (
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
                "",
                READ,
            ),
            ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", "", READ),
            ("batch", "cronjobs cronjobs/status jobs jobs/status", "", READ),
            (
                "extensions",
                "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
                "",
                READ,
            ),
            ("policy", "poddisruptionbudgets poddisruptionbudgets/status", "", READ),
            ("networking.k8s.io", "ingresses ingresses/status networkpolicies", "", READ),
        ],
    ),
    role("system:auth-delegator", &[TOKEN_REVIEW, ACCESS_REVIEW]),
    role(
        "system:basic-user",
        &[
            (
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
                "",
                "create",
            ),
            ("authentication.k8s.io", "selfsubjectreviews", "", "create"),
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[("certificates.k8s.io", "certificatesigningrequests/nodeclient", "", "create")],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[("certificates.k8s.io", "certificatesigningrequests/selfnodeclient", "", "create")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[("certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client", "approve")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[(
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet",
            "approve",
        )],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[("certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving", "approve")],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[("certificates.k8s.io", "signers", "kubernetes.io/legacy-unknown", "approve")],
    ),
    paths(
        "system:discovery",
        "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
    role("system:kube-aggregator", &[("core", "endpoints services", "", READ)]),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            ("coordination.k8s.io", "leases", "", "create"),
            ("coordination.k8s.io", "leases", "kube-controller-manager", "get update"),
            ("core", "secrets serviceaccounts", "", "create"),
            ("core", "secrets", "", "delete"),
            ("core", "configmaps namespaces secrets serviceaccounts", "", "get"),
            ("core", "secrets serviceaccounts", "", "update"),
            TOKEN_REVIEW,
            ACCESS_REVIEW,
            ("*", "*", "", "list watch"),
            ("core", "serviceaccounts/token", "", "create"),
        ],
    ),
    role("system:kube-dns", &[("core", "endpoints services", "", "list watch")]),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            ("coordination.k8s.io", "leases", "", "create"),
            ("coordination.k8s.io", "leases", "kube-scheduler", "get update"),
            ("core", "nodes", "", READ),
            ("core", "pods", "", "delete get list watch"),
            ("core", "bindings pods/binding", "", "create"),
            ("core", "pods/status", "", "patch update"),
            ("core", "replicationcontrollers services", "", READ),
            ("apps extensions", "replicasets", "", READ),
            ("apps", "statefulsets", "", READ),
            ("policy", "poddisruptionbudgets", "", READ),
            ("core", "persistentvolumeclaims persistentvolumes", "", READ),
            TOKEN_REVIEW,
            ACCESS_REVIEW,
            ("storage.k8s.io", "csinodes", "", READ),
            ("core", "namespaces", "", READ),
            ("storage.k8s.io", "csidrivers", "", READ),
            ("storage.k8s.io", "csistoragecapacities", "", READ),
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            ("core", "nodes", "", READ),
            ("core", "nodes", "", "proxy"),
            ("core", "nodes/log nodes/metrics nodes/proxy nodes/stats", "", "*"),
        ],
    ),
    paths(
        "system:monitoring",
        "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
    ),
    role(
        "system:node",
        &[
            TOKEN_REVIEW,
            (
                "authorization.k8s.io",
                "localsubjectaccessreviews subjectaccessreviews",
                "",
                "create",
            ),
            ("core", "services", "", READ),
            ("core", "nodes", "", "create get list watch"),
            ("core", "nodes/status", "", "patch update"),
            ("core", "nodes", "", "patch update"),
            ("core", "events", "", "create patch update"),
            ("core", "pods", "", READ),
            ("core", "pods", "", "create delete"),
            ("core", "pods/status", "", "patch update"),
            ("core", "pods/eviction", "", "create"),
            ("core", "configmaps secrets", "", READ),
            ("core", "persistentvolumeclaims persistentvolumes", "", "get"),
            ("core", "endpoints", "", "get"),
            ("certificates.k8s.io", "certificatesigningrequests", "", "create get list watch"),
            ("coordination.k8s.io", "leases", "", "create delete get patch update"),
            ("storage.k8s.io", "volumeattachments", "", "get"),
            ("core", "serviceaccounts/token", "", "create"),
            ("core", "persistentvolumeclaims/status", "", "get patch update"),
            ("storage.k8s.io", "csidrivers", "", READ),
            ("storage.k8s.io", "csinodes", "", "create delete get patch update"),
            ("node.k8s.io", "runtimeclasses", "", READ),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[("certificates.k8s.io", "certificatesigningrequests", "", "create get list watch")],
    ),
    role(
        "system:node-problem-detector",
        &[("core", "nodes", "", "get"), ("core", "nodes/status", "", "patch"), EVENTS],
    ),
    role(
        "system:node-proxier",
        &[
            ("core", "endpoints services", "", "list watch"),
            ("core", "nodes", "", READ),
            EVENTS,
            ("discovery.k8s.io", "endpointslices", "", "list watch"),
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            ("core", "persistentvolumes", "", "create delete get list watch"),
            ("core", "persistentvolumeclaims", "", "get list update watch"),
            ("storage.k8s.io", "storageclasses", "", READ),
            ("core", "events", "", "watch"),
            EVENTS,
        ],
    ),
    paths("system:public-info-viewer", "/healthz /livez /readyz /version /version/"),
    paths(
        "system:service-account-issuer-discovery",
        "/.well-known/openid-configuration /openid/v1/jwks",
    ),
    role(
        "system:volume-scheduler",
        &[
            ("core", "persistentvolumes", "", "get list patch update watch"),
            ("storage.k8s.io", "storageclasses", "", READ),
            ("core", "persistentvolumeclaims", "", "get list patch update watch"),
        ],
    ),
];

/// ClusterRoleBindings of a role to subjects (`User x` or `Group x`), named like the role.
pub(super) const BINDINGS: &[(&str, &[SubjectRow])] = &[
    ("cluster-admin", &[("Group", "system:masters")]),
    ("system:monitoring", &[("Group", "system:monitoring")]),
    ("system:discovery", &[("Group", "system:authenticated")]),
    ("system:basic-user", &[("Group", "system:authenticated")]),
    (
        "system:public-info-viewer",
        &[("Group", "system:authenticated"), ("Group", "system:unauthenticated")],
    ),
    ("system:node-proxier", &[("User", "system:kube-proxy")]),
    ("system:kube-controller-manager", &[("User", "system:kube-controller-manager")]),
    ("system:kube-dns", &[("ServiceAccount", "kube-dns")]),
    ("system:kube-scheduler", &[("User", "system:kube-scheduler")]),
    ("system:volume-scheduler", &[("User", "system:kube-scheduler")]),
    ("system:node", &[]),
    ("system:service-account-issuer-discovery", &[("Group", "system:serviceaccounts")]),
];
