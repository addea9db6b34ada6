//! Rows of roles and bindings.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    field::{items, text},
};

/// Role, ClusterRole and the kinds without printer of their own: name and creation time.
pub(crate) fn name_and_created(object: &Value) -> Row {
    Row::new(vec![
        text(object, "/metadata/name").into(),
        text(object, "/metadata/creationTimestamp").into(),
    ])
}

/// RoleBinding and ClusterRoleBinding.
pub(crate) fn binding(object: &Value, now: OffsetDateTime) -> Row {
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    let subjects = |kind: &str| {
        items(object, "/subjects")
            .iter()
            .filter(|s| text(s, "/kind") == kind)
            .map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", text(s, "/namespace"), text(s, "/name")),
                _ => text(s, "/name").to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        role.into(),
        age(object, now),
        subjects("User").into(),
        subjects("Group").into(),
        subjects("ServiceAccount").into(),
    ])
}
