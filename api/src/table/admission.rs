//! Columns and rows of the kinds that configure admission.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, number, text as column},
    field::{items, text},
};

pub(crate) const WEBHOOKS: &[Column] =
    &[NAME, number("Webhooks", "How many webhooks are asked."), AGE];

/// `admissionregistration.k8s.io/v1` MutatingWebhookConfiguration, ValidatingWebhookConfiguration.
pub(crate) fn webhooks(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        text(object, "/metadata/name").into(),
        items(object, "/webhooks").len().into(),
        age(object, now),
    ])
}

pub(crate) const API_SERVICES: &[Column] = &[
    NAME,
    column("Service", "Service that serves it; Local for this server."),
    column("Available", "Whether it can be reached."),
    AGE,
];

/// `apiregistration.k8s.io/v1` APIService.
pub(crate) fn api_service(object: &Value, now: OffsetDateTime) -> Row {
    let service = if object["spec"]["service"].is_object() {
        format!(
            "{}/{}",
            text(object, "/spec/service/namespace"),
            text(object, "/spec/service/name")
        )
    } else {
        "Local".to_owned()
    };
    let condition = items(object, "/status/conditions").iter().find(|c| c["type"] == "Available");
    let available = match condition {
        None => "Unknown".to_owned(),
        Some(condition) if text(condition, "/status") == "True" => "True".to_owned(),
        Some(condition) => {
            format!("{} ({})", text(condition, "/status"), text(condition, "/reason"))
        }
    };
    let name = text(object, "/metadata/name");
    Row::new(vec![name.into(), service.into(), available.into(), age(object, now)])
}
