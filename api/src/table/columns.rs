//! The column definitions per kind.

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

pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", priority: 0, description }
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", priority: 1, description }
}

pub(super) const fn number(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "integer", format: "", priority: 0, description }
}

pub(super) const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "boolean", format: "", priority: 0, description }
}

pub(crate) const NAME: Column = Column {
    name: "Name",
    r#type: "string",
    format: "name",
    priority: 0,
    description: "Name of the object, unique within its namespace.",
};
pub(crate) const AGE: Column = text("Age", "Time since the object was created.");
const CREATED: Column = text("Created At", "When the object was created.");
const CONTAINERS: Column = wide("Containers", "Names of the containers of the template.");
const IMAGES: Column = wide("Images", "Images of the containers of the template.");
const SELECTOR: Column = wide("Selector", "Labels the selected objects bear.");

pub(crate) const PODS: &[Column] = &[
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
pub(crate) const DEPLOYMENTS: &[Column] = &[
    NAME,
    text("Ready", "Pods that are ready, of the wanted number."),
    number("Up-to-date", "Pods of the current template."),
    number("Available", "Pods that are ready long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(crate) const REPLICA_SETS: &[Column] = &[
    NAME,
    number("Desired", "Wanted number of pods."),
    number("Current", "Pods that exist."),
    number("Ready", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(crate) const SCALES: &[Column] = &[
    NAME,
    number("Desired", "Wanted number of pods."),
    number("Available", "Pods that exist."),
    AGE,
];
pub(crate) const DAEMON_SETS: &[Column] = &[
    NAME,
    number("Desired", "Nodes that should run a pod."),
    number("Current", "Nodes that run a pod."),
    number("Ready", "Nodes whose pod is ready."),
    number("Up-to-date", "Nodes whose pod is of the current template."),
    number("Available", "Nodes whose pod is ready long enough."),
    text("Node Selector", "Labels of the nodes that should run a pod."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(crate) const STATEFUL_SETS: &[Column] =
    &[NAME, text("Ready", "Pods that are ready, of the wanted number."), AGE, CONTAINERS, IMAGES];
pub(crate) const CONTROLLER_REVISIONS: &[Column] = &[
    NAME,
    text("Controller", "Who the revision belongs to."),
    number("Revision", "Its number."),
    AGE,
];
pub(crate) const POD_TEMPLATES: &[Column] = &[
    NAME,
    text("Containers", "Names of the containers of the template."),
    text("Images", "Images of the containers of the template."),
    text("Pod Labels", "Labels of the template."),
];
pub(crate) const JOBS: &[Column] = &[
    NAME,
    text("Status", "What the job is doing now."),
    text("Completions", "Pods that succeeded, of the wanted number."),
    text("Duration", "How long it has run."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(crate) const CRON_JOBS: &[Column] = &[
    NAME,
    text("Schedule", "When it makes jobs."),
    text("Timezone", "Time zone of the schedule."),
    boolean("Suspend", "Whether it makes no jobs for now."),
    number("Active", "Jobs that run now."),
    text("Last Schedule", "Time since it made a job."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(crate) const PERSISTENT_VOLUMES: &[Column] = &[
    NAME,
    text("Capacity", "Its size."),
    text("Access Modes", "How it can be mounted."),
    text("Reclaim Policy", "What becomes of it when it is released."),
    text("Status", "Phase of the volume."),
    text("Claim", "The claim it is bound to."),
    text("StorageClass", "Its storage class."),
    text("VolumeAttributesClass", "Its volume attributes class."),
    text("Reason", "Why it is in its phase."),
    AGE,
    wide("VolumeMode", "Whether it holds a file system."),
];
pub(crate) const PERSISTENT_VOLUME_CLAIMS: &[Column] = &[
    NAME,
    text("Status", "Phase of the claim."),
    text("Volume", "The volume it is bound to."),
    text("Capacity", "Size of the volume."),
    text("Access Modes", "How the volume can be mounted."),
    text("StorageClass", "Its storage class."),
    text("VolumeAttributesClass", "Its volume attributes class."),
    AGE,
    wide("VolumeMode", "Whether the volume holds a file system."),
];
pub(crate) const SIGNING_REQUESTS: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Who is to sign."),
    text("Requestor", "Who asks."),
    text("RequestedDuration", "Lifetime that is asked for."),
    text("Condition", "What became of the request."),
];
pub(crate) const SERVICES: &[Column] = &[
    NAME,
    text("Type", "How the service is reached."),
    text("Cluster-IP", "Address inside the cluster."),
    text("External-IP", "Addresses outside the cluster."),
    text("Port(s)", "Ports, with node ports and protocols."),
    AGE,
    SELECTOR,
];
pub(crate) const ENDPOINTS: &[Column] =
    &[NAME, text("Endpoints", "Addresses and ports behind the service."), AGE];
pub(crate) const ENDPOINT_SLICES: &[Column] = &[
    NAME,
    text("AddressType", "Family of the addresses."),
    text("Ports", "Ports of every endpoint."),
    text("Endpoints", "Addresses of the endpoints."),
    AGE,
];
pub(crate) const NODES: &[Column] = &[
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
pub(crate) const NAMESPACES: &[Column] = &[NAME, text("Status", "Phase of the namespace."), AGE];
pub(crate) const CONFIG_MAPS: &[Column] = &[NAME, number("Data", "Number of entries."), AGE];
pub(crate) const SECRETS: &[Column] =
    &[NAME, text("Type", "What the entries mean."), number("Data", "Number of entries."), AGE];
pub(crate) const NAME_AND_AGE: &[Column] = &[NAME, AGE];
pub(crate) const EVENTS: &[Column] = &[
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
pub(crate) const LEASES: &[Column] = &[NAME, text("Holder", "Who holds the lease."), AGE];
pub(crate) const PRIORITY_CLASSES: &[Column] = &[
    NAME,
    number("Value", "Priority of its pods."),
    boolean("Global-Default", "Whether pods without class get it."),
    AGE,
    text("PreemptionPolicy", "Whether its pods displace others."),
];
pub(crate) const BINDINGS: &[Column] = &[
    NAME,
    text("Role", "Role that is granted."),
    AGE,
    wide("Users", "Users it is granted to."),
    wide("Groups", "Groups it is granted to."),
    wide("ServiceAccounts", "Service accounts it is granted to."),
];
pub(crate) const NAME_AND_CREATED: &[Column] = &[NAME, CREATED];
