//! The default roles of upstream's controllers as data (`bootstrappolicy/controller_policy.go`). Ours
//! need none of them; clusters are audited by them, and add-ons bind to them. Each is called
//! `system:controller:NAME` and bound to service account `kube-system/NAME`.

use super::roles::{EVENTS, READ, RuleRow};

const LW: &str = "list watch";
const RW: &str = "get list update watch";
const RWP: &str = "get list patch update watch";
const OWN: &str = "create delete get list patch update watch";
const PODS: &str = "create delete list patch watch";
const APPS: &str = "apps extensions";
const CERTS: &str = "certificates.k8s.io";
const RESOURCE: &str = "resource.k8s.io";

/// Name and rules.
pub(super) const CONTROLLER_ROLES: &[(&str, &[RuleRow])] = &[
    (
        "attachdetach-controller",
        &[
            ("core", "persistentvolumeclaims persistentvolumes", "", LW),
            ("core", "nodes", "", READ),
            ("core", "nodes/status", "", "patch update"),
            ("core", "pods", "", LW),
            EVENTS,
            ("storage.k8s.io", "volumeattachments", "", "create delete get list watch"),
            ("storage.k8s.io", "csidrivers", "", READ),
            ("storage.k8s.io", "csinodes", "", READ),
        ],
    ),
    (
        "certificate-controller",
        &[
            (CERTS, "certificatesigningrequests", "", "delete get list watch"),
            (
                CERTS,
                "certificatesigningrequests/approval certificatesigningrequests/status",
                "",
                "update",
            ),
            (CERTS, "signers", "kubernetes.io/kube-apiserver-client-kubelet", "approve"),
            (
                CERTS,
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
                "sign",
            ),
            ("authorization.k8s.io", "subjectaccessreviews", "", "create"),
            EVENTS,
        ],
    ),
    (
        "clusterrole-aggregation-controller",
        &[(
            "rbac.authorization.k8s.io",
            "clusterroles",
            "",
            "escalate get list patch update watch",
        )],
    ),
    (
        "cronjob-controller",
        &[
            ("batch", "cronjobs", "", RW),
            ("batch", "jobs", "", OWN),
            ("batch", "cronjobs/status", "", "update"),
            ("batch", "cronjobs/finalizers", "", "update"),
            ("core", "pods", "", "delete list watch"),
            EVENTS,
        ],
    ),
    (
        "daemon-set-controller",
        &[
            (APPS, "daemonsets", "", READ),
            (APPS, "daemonsets/status", "", "update"),
            (APPS, "daemonsets/finalizers", "", "update"),
            ("core", "nodes", "", LW),
            ("core", "pods", "", PODS),
            ("core", "pods/binding", "", "create"),
            ("apps", "controllerrevisions", "", OWN),
            EVENTS,
        ],
    ),
    (
        "deployment-controller",
        &[
            (APPS, "deployments", "", RW),
            (APPS, "deployments/status", "", "update"),
            (APPS, "deployments/finalizers", "", "update"),
            (APPS, "replicasets", "", OWN),
            ("core", "pods", "", RW),
            EVENTS,
        ],
    ),
    (
        "device-taint-eviction-controller",
        &[
            ("core", "pods", "", "delete get list watch"),
            ("core", "pods/status", "", "patch update"),
            (RESOURCE, "resourceclaims", "", READ),
            (RESOURCE, "resourceslices", "", READ),
            (RESOURCE, "deviceclasses", "", READ),
            EVENTS,
        ],
    ),
    (
        "disruption-controller",
        &[
            (APPS, "deployments", "", READ),
            (APPS, "replicasets", "", READ),
            ("core", "replicationcontrollers", "", READ),
            ("policy", "poddisruptionbudgets", "", READ),
            ("apps", "statefulsets", "", READ),
            ("policy", "poddisruptionbudgets/status", "", "update"),
            ("core", "pods/status", "", "patch update"),
            ("*", "*/scale", "", "get"),
            EVENTS,
        ],
    ),
    (
        "endpoint-controller",
        &[
            ("core", "pods services", "", READ),
            ("core", "endpoints", "", "create delete get list update watch"),
            ("core", "endpoints/restricted", "", "create"),
            EVENTS,
        ],
    ),
    (
        "endpointslice-controller",
        &[
            ("core", "nodes pods services", "", READ),
            ("core", "services/finalizers", "", "update"),
            ("discovery.k8s.io", "endpointslices", "", "create delete get list update watch"),
            EVENTS,
        ],
    ),
    (
        "endpointslicemirroring-controller",
        &[
            ("core", "endpoints services", "", READ),
            ("core", "services/finalizers", "", "update"),
            ("core", "endpoints/finalizers", "", "update"),
            ("discovery.k8s.io", "endpointslices", "", "create delete get list update watch"),
            EVENTS,
        ],
    ),
    (
        "ephemeral-volume-controller",
        &[
            ("core", "pods", "", READ),
            ("core", "pods/finalizers", "", "update"),
            ("core", "persistentvolumeclaims", "", "create get list watch"),
            EVENTS,
        ],
    ),
    (
        "expand-controller",
        &[
            ("core", "persistentvolumes", "", RWP),
            ("core", "persistentvolumeclaims/status", "", "patch update"),
            ("core", "persistentvolumeclaims", "", READ),
            EVENTS,
        ],
    ),
    ("generic-garbage-collector", &[("*", "*", "", "delete get list patch update watch"), EVENTS]),
    (
        "horizontal-pod-autoscaler",
        &[
            ("autoscaling", "horizontalpodautoscalers", "", READ),
            ("autoscaling", "horizontalpodautoscalers/status", "", "update"),
            ("*", "*/scale", "", "get update"),
            ("core", "pods", "", LW),
            ("metrics.k8s.io", "pods", "", LW),
            ("custom.metrics.k8s.io", "*", "", READ),
            ("external.metrics.k8s.io", "*", "", READ),
            EVENTS,
        ],
    ),
    (
        "job-controller",
        &[
            ("batch", "jobs", "", RWP),
            ("batch", "jobs/status", "", "update"),
            ("batch", "jobs/finalizers", "", "update"),
            ("core", "pods", "", PODS),
            EVENTS,
        ],
    ),
    (
        "legacy-service-account-token-cleaner",
        &[
            ("core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking", "get"),
            ("core", "secrets", "", "delete patch"),
        ],
    ),
    (
        "namespace-controller",
        &[
            ("core", "namespaces", "", "delete get list watch"),
            ("core", "namespaces/finalize namespaces/status", "", "update"),
            ("*", "*", "", "delete deletecollection get list watch"),
        ],
    ),
    (
        "node-controller",
        &[
            ("core", "nodes", "", "delete get list patch update watch"),
            ("core", "nodes/status", "", "patch update"),
            ("core", "pods/status", "", "patch update"),
            ("core", "pods", "", "delete get list watch"),
            EVENTS,
        ],
    ),
    (
        "persistent-volume-binder",
        &[
            ("core", "persistentvolumes", "", "create delete get list update watch"),
            ("core", "persistentvolumes/status", "", "update"),
            ("core", "persistentvolumeclaims", "", RW),
            ("core", "persistentvolumeclaims/status", "", "update"),
            ("core", "pods", "", "create delete get list watch"),
            ("storage.k8s.io", "storageclasses", "", READ),
            ("core", "nodes", "", LW),
            EVENTS,
            ("core", "events", "", "watch"),
        ],
    ),
    (
        "pod-garbage-collector",
        &[
            ("core", "pods", "", "delete list watch"),
            ("core", "nodes", "", READ),
            ("core", "pods/status", "", "patch"),
        ],
    ),
    ("pv-protection-controller", &[("core", "persistentvolumes", "", RW), EVENTS]),
    (
        "pvc-protection-controller",
        &[
            ("core", "persistentvolumeclaims", "", RW),
            ("core", "persistentvolumeclaims/status", "", "update"),
            ("core", "pods", "", READ),
            EVENTS,
        ],
    ),
    (
        "replicaset-controller",
        &[
            (APPS, "replicasets", "", RW),
            (APPS, "replicasets/status", "", "update"),
            (APPS, "replicasets/finalizers", "", "update"),
            ("core", "pods", "", PODS),
            EVENTS,
        ],
    ),
    (
        "replication-controller",
        &[
            ("core", "replicationcontrollers", "", RW),
            ("core", "replicationcontrollers/status", "", "update"),
            ("core", "replicationcontrollers/finalizers", "", "update"),
            ("core", "pods", "", PODS),
            EVENTS,
        ],
    ),
    (
        "resource-claim-controller",
        &[
            ("core", "pods", "", READ),
            ("core", "pods/finalizers", "", "update"),
            (RESOURCE, "resourceclaims", "", "create delete get list watch"),
            (RESOURCE, "resourceclaims resourceclaims/status", "", "patch update"),
            ("core", "pods/status", "", "patch update"),
            EVENTS,
            (RESOURCE, "resourceclaims/binding", "", "patch update"),
        ],
    ),
    (
        "resourcequota-controller",
        &[("*", "*", "", LW), ("core", "resourcequotas/status", "", "update"), EVENTS],
    ),
    ("root-ca-cert-publisher", &[("core", "configmaps", "", "create update"), EVENTS]),
    (
        "route-controller",
        &[("core", "nodes", "", LW), ("core", "nodes/status", "", "patch"), EVENTS],
    ),
    (
        "selinux-warning-controller",
        &[
            EVENTS,
            ("core", "persistentvolumes", "", READ),
            ("core", "persistentvolumeclaims", "", READ),
            ("core", "pods", "", READ),
            ("storage.k8s.io", "csidrivers", "", READ),
        ],
    ),
    ("service-account-controller", &[("core", "serviceaccounts", "", "create"), EVENTS]),
    (
        "service-cidrs-controller",
        &[
            ("networking.k8s.io", "servicecidrs", "", RWP),
            ("networking.k8s.io", "servicecidrs/finalizers", "", "patch update"),
            ("networking.k8s.io", "servicecidrs/status", "", "patch update"),
            ("networking.k8s.io", "ipaddresses", "", READ),
            EVENTS,
        ],
    ),
    (
        "service-controller",
        &[
            ("core", "services", "", READ),
            ("core", "services/status", "", "patch update"),
            ("core", "nodes", "", LW),
            EVENTS,
        ],
    ),
    (
        "statefulset-controller",
        &[
            ("core", "pods", "", LW),
            ("apps", "statefulsets", "", READ),
            ("apps", "statefulsets/status", "", "update"),
            ("apps", "statefulsets/finalizers", "", "update"),
            ("core", "pods", "", "create delete get patch update"),
            ("apps", "controllerrevisions", "", OWN),
            ("core", "persistentvolumeclaims", "", "create get list watch"),
            ("core", "persistentvolumeclaims", "", "delete update"),
            ("core", "pods/finalizers", "", "update"),
            EVENTS,
        ],
    ),
    ("ttl-after-finished-controller", &[("batch", "jobs", "", "delete get list watch"), EVENTS]),
    ("ttl-controller", &[("core", "nodes", "", "list patch update watch"), EVENTS]),
    (
        "validatingadmissionpolicy-status-controller",
        &[
            ("admissionregistration.k8s.io", "validatingadmissionpolicies", "", READ),
            (
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
                "",
                "get patch update",
            ),
            EVENTS,
        ],
    ),
    (
        "volumeattributesclass-protection-controller",
        &[
            ("core", "persistentvolumeclaims", "", READ),
            ("core", "persistentvolumes", "", READ),
            ("storage.k8s.io", "volumeattributesclasses", "", RW),
            EVENTS,
        ],
    ),
];
