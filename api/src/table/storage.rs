//! Columns and rows of storage classes and drivers, runtime classes and flow control.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, boolean, number, text as column},
    field::{NONE, at, flag, int, items, opt_text, text},
};

const DEFAULT_CLASS: [&str; 2] = [
    "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
    "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
];

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

pub(crate) const CLASSES: &[Column] = &[
    NAME,
    column("Provisioner", "Who makes the volumes."),
    column("ReclaimPolicy", "What becomes of released volumes."),
    column("VolumeBindingMode", "When claims are bound."),
    boolean("AllowVolumeExpansion", "Whether volumes can grow."),
    AGE,
];

/// `storage.k8s.io/v1` StorageClass.
pub(crate) fn class(object: &Value, now: OffsetDateTime) -> Row {
    let default = DEFAULT_CLASS.iter().any(|annotation| text(object, annotation) == "true");
    let mark = if default { " (default)" } else { "" };
    Row::new(vec![
        format!("{}{mark}", text(object, "/metadata/name")).into(),
        text(object, "/provisioner").into(),
        text(object, "/reclaimPolicy").into(),
        text(object, "/volumeBindingMode").into(),
        flag(object, "/allowVolumeExpansion").into(),
        age(object, now),
    ])
}

pub(crate) const ATTRIBUTES_CLASSES: &[Column] =
    &[NAME, column("DriverName", "Driver the attributes are for."), AGE];

/// `storage.k8s.io/v1` VolumeAttributesClass.
pub(crate) fn attributes_class(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), text(object, "/driverName").into(), age(object, now)])
}

pub(crate) const DRIVERS: &[Column] = &[
    NAME,
    boolean("AttachRequired", "Whether volumes are attached to nodes."),
    boolean("PodInfoOnMount", "Whether the driver is told of the pod."),
    boolean("StorageCapacity", "Whether the driver publishes its capacity."),
    column("TokenRequests", "Audiences of the tokens it gets."),
    boolean("RequiresRepublish", "Whether it is called again."),
    column("Modes", "Kinds of volumes it serves."),
    AGE,
];

/// `storage.k8s.io/v1` CSIDriver.
pub(crate) fn driver(object: &Value, now: OffsetDateTime) -> Row {
    let required = at(object, "/spec/attachRequired").and_then(Value::as_bool).unwrap_or(true);
    let audiences: Vec<&str> =
        items(object, "/spec/tokenRequests").iter().map(|r| text(r, "/audience")).collect();
    let modes: Vec<&str> =
        items(object, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    Row::new(vec![
        name(object),
        required.into(),
        flag(object, "/spec/podInfoOnMount").into(),
        flag(object, "/spec/storageCapacity").into(),
        if audiences.is_empty() { "<unset>".into() } else { audiences.join(",").into() },
        flag(object, "/spec/requiresRepublish").into(),
        if modes.is_empty() { NONE.into() } else { modes.join(",").into() },
        age(object, now),
    ])
}

pub(crate) const STORAGE_NODES: &[Column] =
    &[NAME, number("Drivers", "Number of drivers on the node."), AGE];

/// `storage.k8s.io/v1` CSINode.
pub(crate) fn node(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), items(object, "/spec/drivers").len().into(), age(object, now)])
}

pub(crate) const CAPACITIES: &[Column] = &[
    NAME,
    column("StorageClassName", "Class the capacity is of."),
    column("Capacity", "Room that is left."),
];

/// `storage.k8s.io/v1` CSIStorageCapacity.
pub(crate) fn capacity(object: &Value) -> Row {
    Row::new(vec![
        name(object),
        text(object, "/storageClassName").into(),
        opt_text(object, "/capacity").unwrap_or("<unset>").into(),
    ])
}

pub(crate) const ATTACHMENTS: &[Column] = &[
    NAME,
    column("Attacher", "Driver that attaches."),
    column("PV", "Volume that is attached."),
    column("Node", "Node it is attached to."),
    boolean("Attached", "Whether it is attached."),
    AGE,
];

/// `storage.k8s.io/v1` VolumeAttachment.
pub(crate) fn attachment(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        flag(object, "/status/attached").into(),
        age(object, now),
    ])
}

pub(crate) const RUNTIME_CLASSES: &[Column] =
    &[NAME, column("Handler", "What runs its pods."), AGE];

/// `node.k8s.io/v1` RuntimeClass.
pub(crate) fn runtime_class(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), text(object, "/handler").into(), age(object, now)])
}

pub(crate) const FLOW_SCHEMAS: &[Column] = &[
    NAME,
    column("PriorityLevel", "Level of its requests."),
    number("MatchingPrecedence", "Lower is asked first."),
    column("DistinguisherMethod", "What tells its flows apart."),
    AGE,
    column("MissingPL", "Whether there is no such level."),
];

/// `flowcontrol.apiserver.k8s.io/v1` FlowSchema.
pub(crate) fn flow_schema(object: &Value, now: OffsetDateTime) -> Row {
    let dangling = items(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == "Dangling")
        .map_or("?", |c| text(c, "/status"));
    Row::new(vec![
        name(object),
        text(object, "/spec/priorityLevelConfiguration/name").into(),
        int(object, "/spec/matchingPrecedence").into(),
        opt_text(object, "/spec/distinguisherMethod/type").unwrap_or(NONE).into(),
        age(object, now),
        dangling.into(),
    ])
}

pub(crate) const PRIORITY_LEVELS: &[Column] = &[
    NAME,
    column("Type", "Whether it is limited."),
    column("NominalConcurrencyShares", "Its share of requests at once."),
    column("Queues", "Number of queues."),
    column("HandSize", "Queues a flow may use."),
    column("QueueLengthLimit", "Longest queue."),
    AGE,
];

/// `flowcontrol.apiserver.k8s.io/v1` PriorityLevelConfiguration.
pub(crate) fn priority_level(object: &Value, now: OffsetDateTime) -> Row {
    let shown = |pointer: &str| at(object, pointer).cloned().unwrap_or_else(|| NONE.into());
    let queuing = |field: &str| shown(&format!("/spec/limited/limitResponse/queuing/{field}"));
    Row::new(vec![
        name(object),
        text(object, "/spec/type").into(),
        shown("/spec/limited/nominalConcurrencyShares"),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(object, now),
    ])
}
