//! The column definitions per kind.

use crate::kind::Kind;

/// One column of a `Table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Heading; clients upper-case it.
    pub name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub r#type: &'static str,
    /// `name` marks the object's name.
    pub format: &'static str,
    /// 0 is always shown, 1 with `-o wide` only.
    pub priority: u8,
    /// What it means.
    pub description: &'static str,
}

const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", priority: 0, description }
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", priority: 1, description }
}

const fn number(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "integer", format: "", priority: 0, description }
}

const NAME: Column = Column {
    name: "Name",
    r#type: "string",
    format: "name",
    priority: 0,
    description: "Name of the object, unique within its namespace.",
};
const AGE: Column = text("Age", "Time since the object was created.");
const CREATED: Column = text("Created At", "When the object was created.");
const CONTAINERS: Column = wide("Containers", "Names of the containers of the template.");
const IMAGES: Column = wide("Images", "Images of the containers of the template.");
const SELECTOR: Column = wide("Selector", "Labels the selected objects bear.");

const PODS: &[Column] = &[
    NAME,
    text("Ready", "Containers that are ready, of all that must be."),
    text("Status", "What the pod is doing now."),
    text("Restarts", "Restarts of its containers, and how long ago the last one was."),
    AGE,
    wide("IP", "Address of the pod."),
    wide("Node", "Node the pod runs on."),
    wide("Nominated Node", "Node where room is being made for the pod."),
    wide("Readiness Gates", "Readiness gates that are open, of all."),
];
const DEPLOYMENTS: &[Column] = &[
    NAME,
    text("Ready", "Pods that are ready, of the wanted number."),
    number("Up-to-date", "Pods of the current template."),
    number("Available", "Pods that are ready long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const REPLICA_SETS: &[Column] = &[
    NAME,
    number("Desired", "Wanted number of pods."),
    number("Current", "Pods that exist."),
    number("Ready", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const SERVICES: &[Column] = &[
    NAME,
    text("Type", "How the service is reached."),
    text("Cluster-IP", "Address inside the cluster."),
    text("External-IP", "Addresses outside the cluster."),
    text("Port(s)", "Ports, with node ports and protocols."),
    AGE,
    SELECTOR,
];
const ENDPOINTS: &[Column] =
    &[NAME, text("Endpoints", "Addresses and ports behind the service."), AGE];
const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    text("AddressType", "Family of the addresses."),
    text("Ports", "Ports of every endpoint."),
    text("Endpoints", "Addresses of the endpoints."),
    AGE,
];
const NODES: &[Column] = &[
    NAME,
    text("Status", "Whether the node is ready and takes pods."),
    text("Roles", "Roles its labels name."),
    AGE,
    text("Version", "Version of its node agent."),
    wide("Internal-IP", "Address inside the cluster."),
    wide("External-IP", "Address outside the cluster."),
    wide("OS-Image", "Operating system."),
    wide("Kernel-Version", "Kernel."),
    wide("Container-Runtime", "What runs its containers."),
];
const NAMESPACES: &[Column] = &[NAME, text("Status", "Phase of the namespace."), AGE];
const CONFIG_MAPS: &[Column] = &[NAME, number("Data", "Number of entries."), AGE];
const SECRETS: &[Column] =
    &[NAME, text("Type", "What the entries mean."), number("Data", "Number of entries."), AGE];
const NAME_AND_AGE: &[Column] = &[NAME, AGE];
const EVENTS: &[Column] = &[
    text("Last Seen", "Time since it happened last."),
    text("Type", "Normal or Warning."),
    text("Reason", "Short word for the cause."),
    text("Object", "What it happened to."),
    wide("Subobject", "Part of that object."),
    wide("Source", "Who reports it."),
    text("Message", "What happened."),
    wide("First Seen", "Time since it happened first."),
    Column {
        name: "Count",
        r#type: "integer",
        format: "",
        priority: 1,
        description: "How often it happened.",
    },
    Column { priority: 1, ..NAME },
];
const LEASES: &[Column] = &[NAME, text("Holder", "Who holds the lease."), AGE];
const PRIORITY_CLASSES: &[Column] = &[
    NAME,
    number("Value", "Priority of its pods."),
    Column {
        name: "Global-Default",
        r#type: "boolean",
        format: "",
        priority: 0,
        description: "Whether pods without class get it.",
    },
    AGE,
    text("PreemptionPolicy", "Whether its pods displace others."),
];
const BINDINGS: &[Column] = &[
    NAME,
    text("Role", "Role that is granted."),
    AGE,
    wide("Users", "Users it is granted to."),
    wide("Groups", "Groups it is granted to."),
    wide("ServiceAccounts", "Service accounts it is granted to."),
];
const DEFAULT: &[Column] = &[NAME, CREATED];

/// The columns of a kind, those of `-o wide` included.
pub fn columns(kind: &Kind) -> &'static [Column] {
    match (kind.group, kind.plural) {
        ("", "pods") => PODS,
        ("", "services") => SERVICES,
        ("", "endpoints") => ENDPOINTS,
        ("", "nodes") => NODES,
        ("", "namespaces") => NAMESPACES,
        ("", "configmaps") => CONFIG_MAPS,
        ("", "secrets") => SECRETS,
        ("", "serviceaccounts") => NAME_AND_AGE,
        ("" | "events.k8s.io", "events") => EVENTS,
        ("apps", "deployments") => DEPLOYMENTS,
        ("apps", "replicasets") => REPLICA_SETS,
        ("discovery.k8s.io", "endpointslices") => ENDPOINT_SLICES,
        ("coordination.k8s.io", "leases") => LEASES,
        ("scheduling.k8s.io", "priorityclasses") => PRIORITY_CLASSES,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => BINDINGS,
        _ => DEFAULT,
    }
}
