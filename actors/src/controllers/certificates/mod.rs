//! CertificateSigningRequests: approved where the requester may have such a certificate anyway,
//! signed once approved, and removed when they are old (upstream: `pkg/controller/certificates`).

mod approver;
mod cleaner;
mod signer;

pub(crate) use approver::Approver;
pub(crate) use cleaner::Cleaner;
pub(crate) use signer::Signer;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{controllers::model::Time, registry::Object};

/// Whether a request has a condition that is not `False`.
fn has(request: &Value, condition: &str) -> bool {
    let all = request["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().any(|c| c["type"] == condition && c["status"] != "False")
}

fn is_issued(request: &Value) -> bool {
    request["status"]["certificate"].as_str().is_some_and(|c| !c.is_empty())
}

/// `spec.request`, decoded from base64.
fn request_pem(request: &Value) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(request["spec"]["request"].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

fn usages(request: &Value) -> Vec<&str> {
    let all = request["spec"]["usages"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

fn with_condition(
    object: &Object,
    condition: &str,
    (reason, message): (&str, &str),
    now: Time,
) -> Value {
    let mut value = object.value().clone();
    let entry = json!({"type": condition, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now.rfc3339(), "lastTransitionTime": now.rfc3339()});
    if !value["status"].is_object() {
        value["status"] = json!({});
    }
    let conditions = &mut value["status"]["conditions"];
    match conditions.as_array_mut() {
        Some(list) => list.push(entry),
        None => *conditions = json!([entry]),
    }
    value
}
