//! The default Roles and RoleBindings of the system namespaces, as [`super::roles`] has the others.

use super::roles::{EVENTS, READ, RuleRow, SubjectRow};

/// Roles in a namespace: namespace, name, rules.
pub(super) const NAMESPACE_ROLES: &[(&str, &str, &[RuleRow])] = &[
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        &[
            ("core", "configmaps", "", READ),
            ("core", "configmaps", "cluster-info", "update"),
            EVENTS,
        ],
    ),
    (
        "kube-system",
        "extension-apiserver-authentication-reader",
        &[("core", "configmaps", "extension-apiserver-authentication", READ)],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[
            ("core", "configmaps", "", "watch"),
            ("core", "configmaps", "kube-controller-manager", "get update"),
        ],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[
            ("core", "configmaps", "", "watch"),
            ("core", "configmaps", "kube-scheduler", "get update"),
        ],
    ),
    ("kube-system", "system:controller:bootstrap-signer", &[("core", "secrets", "", READ)]),
    (
        "kube-system",
        "system:controller:cloud-provider",
        &[("core", "configmaps", "", "create get list update watch")],
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        &[("core", "secrets", "", "delete get list watch"), EVENTS],
    ),
];

/// RoleBindings: namespace, name, role, subjects (a ServiceAccount is one of kube-system).
pub(super) const NAMESPACE_BINDINGS: &[(&str, &str, &str, &[SubjectRow])] = &[
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[("ServiceAccount", "bootstrap-signer")],
    ),
    (
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        &[("User", "system:kube-controller-manager"), ("User", "system:kube-scheduler")],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        &[
            ("User", "system:kube-controller-manager"),
            ("ServiceAccount", "kube-controller-manager"),
        ],
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        &[("User", "system:kube-scheduler"), ("ServiceAccount", "kube-scheduler")],
    ),
    (
        "kube-system",
        "system:controller:bootstrap-signer",
        "system:controller:bootstrap-signer",
        &[("ServiceAccount", "bootstrap-signer")],
    ),
    (
        "kube-system",
        "system:controller:cloud-provider",
        "system:controller:cloud-provider",
        &[("ServiceAccount", "cloud-provider")],
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        "system:controller:token-cleaner",
        &[("ServiceAccount", "token-cleaner")],
    ),
];
