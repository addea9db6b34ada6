//! Columns and row of autoscalers.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, number, text as column},
    field::{NONE, at, int, items, opt_text, text},
};
use crate::kind;

/// Metrics shown before ` + N more...`.
const METRICS_SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub(crate) const AUTOSCALERS: &[Column] = &[
    NAME,
    column("Reference", "What it scales."),
    column("Targets", "Each metric: what it is, and what is aimed at."),
    column("MinPods", "Fewest pods."),
    number("MaxPods", "Most pods."),
    number("Replicas", "Pods now."),
    AGE,
];

/// `autoscaling/v1` HorizontalPodAutoscaler, printed as v2.
pub(crate) fn autoscaler_v1(object: &Value, now: OffsetDateTime) -> Row {
    let mut object = object.clone();
    kind::to_storage_version(kind::HORIZONTAL_POD_AUTOSCALER_V1, &mut object);
    autoscaler(&object, now)
}

/// `autoscaling/v2` HorizontalPodAutoscaler.
pub(crate) fn autoscaler(object: &Value, now: OffsetDateTime) -> Row {
    let reference = format!(
        "{}/{}",
        text(object, "/spec/scaleTargetRef/kind"),
        text(object, "/spec/scaleTargetRef/name")
    );
    let least = at(object, "/spec/minReplicas").and_then(Value::as_i64);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        reference.into(),
        targets(object).into(),
        least.map_or_else(|| "<unset>".to_owned(), |n| n.to_string()).into(),
        int(object, "/spec/maxReplicas").into(),
        int(object, "/status/currentReplicas").into(),
        age(object, now),
    ])
}

fn targets(object: &Value) -> String {
    let specs = items(object, "/spec/metrics");
    let current = items(object, "/status/currentMetrics");
    let list: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| metric(spec, current.get(i).unwrap_or(&Value::Null)))
        .collect();
    match list.len() {
        0 => NONE.to_owned(),
        n if n > METRICS_SHOWN => {
            format!("{} + {} more...", list[..METRICS_SHOWN].join(", "), n - METRICS_SHOWN)
        }
        _ => list.join(", "),
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, resource) = match text(spec, "/type") {
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "External" => ("external", false),
        _ => return "<unknown type>".to_owned(),
    };
    let target = at(spec, &format!("/{field}/target")).unwrap_or(&Value::Null);
    let now = at(status, &format!("/{field}/current")).unwrap_or(&Value::Null);
    let name = match resource {
        true => format!("{}: ", text(spec, &format!("/{field}/name"))),
        false => String::new(),
    };
    let quantity = |of: &Value, key: &str| opt_text(of, key).unwrap_or(UNKNOWN).to_owned();
    if let Some(wanted) = opt_text(target, "/averageValue") {
        let average = if matches!(field, "object" | "external") { " (avg)" } else { "" };
        return format!("{name}{}/{wanted}{average}", quantity(now, "/averageValue"));
    }
    if resource {
        let percent = |of: &Value, otherwise: &str| {
            of["averageUtilization"]
                .as_i64()
                .map_or_else(|| otherwise.to_owned(), |n| format!("{n}%"))
        };
        return format!("{name}{}/{}", percent(now, UNKNOWN), percent(target, "<auto>"));
    }
    format!("{}/{}", quantity(now, "/value"), quantity(target, "/value"))
}
