//! Columns and rows of resource quotas.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, text as column},
    field::{at, text},
};

pub(crate) const QUOTAS: &[Column] = &[
    NAME,
    column("Request", "What is used of each resource that is requested or counted."),
    column("Limit", "What is used of each resource that containers are limited to."),
    AGE,
];

/// `v1` ResourceQuota.
pub(crate) fn quota(object: &Value, now: OffsetDateTime) -> Row {
    let hard = at(object, "/status/hard").and_then(Value::as_object);
    let used = at(object, "/status/used").unwrap_or(&Value::Null);
    let mut names: Vec<&String> = hard.into_iter().flat_map(|map| map.keys()).collect();
    names.sort();
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for name in names {
        let shown = |from: &Value| from[name.as_str()].as_str().unwrap_or("0").to_owned();
        let most = at(object, "/status/hard").map_or_else(String::new, &shown);
        let cell = format!("{name}: {}/{most}", shown(used));
        let column = if name.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(cell);
    }
    Row::new(vec![
        text(object, "/metadata/name").into(),
        requests.join(", ").into(),
        limits.join(", ").into(),
        age(object, now),
    ])
}
