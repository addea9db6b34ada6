//! Rows of the workload kinds.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    field::{int, items, selector, text},
};

/// `apps/v1` Deployment.
pub(super) fn deployment(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        format!("{}/{}", int(object, "/status/readyReplicas"), int(object, "/spec/replicas"))
            .into(),
        int(object, "/status/updatedReplicas").into(),
        int(object, "/status/availableReplicas").into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

/// `apps/v1` ReplicaSet.
pub(super) fn replica_set(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        int(object, "/spec/replicas").into(),
        int(object, "/status/replicas").into(),
        int(object, "/status/readyReplicas").into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

fn containers(object: &Value) -> (String, String) {
    let containers = items(object, "/spec/template/spec/containers");
    let join = |key: &str| containers.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",");
    (join("/name"), join("/image"))
}
