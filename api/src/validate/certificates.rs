//! Certificate signing requests (k8s pkg/apis/certificates/validation).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, items, text},
};
use crate::name;

/// Shortest lifetime that may be asked for, seconds.
const MIN_SECONDS: i64 = 600;
const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";
/// Condition types an approver writes.
const DECISIONS: &[&str] = &["Approved", "Denied"];

pub(crate) fn signing_request(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let encoded = text(spec, "request");
    let pem = STANDARD.decode(encoded).unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem);
    if !pem.trim_start().starts_with(BEGIN) || !pem.trim_end().ends_with(END) {
        let detail = "PEM block type must be CERTIFICATE REQUEST";
        out.push(FieldError::invalid("spec.request", encoded, detail));
    }
    if items(spec, "usages").is_empty() {
        out.push(FieldError::required("spec.usages", "usages must be provided"));
    }
    signer(out, text(spec, "signerName"));
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|s| *s < MIN_SECONDS) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        out.push(FieldError::invalid("spec.expirationSeconds", seconds, detail));
    }
    conditions(out, items(&object["status"], "conditions"));
}

fn signer(out: &mut Errors, signer: &str) {
    const PATH: &str = "spec.signerName";
    if signer.is_empty() {
        out.push(FieldError::required(PATH, ""));
        return;
    }
    let segments: Vec<&str> = signer.split('/').collect();
    let [domain, path] = segments[..] else {
        let detail =
            "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        out.push(FieldError::invalid(PATH, signer, detail));
        return;
    };
    labels(out, domain, name::dns1123_label);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        out.push(FieldError::invalid(PATH, domain, detail));
    }
    labels(out, path, name::dns1123_subdomain);
}

/// Says what is wrong with the first wrong label of one half of a signer's name.
fn labels(out: &mut Errors, half: &str, rule: fn(&str) -> Vec<String>) {
    let wrong =
        half.split('.').find_map(|label| Some((label, rule(label))).filter(|w| !w.1.is_empty()));
    for detail in wrong.iter().flat_map(|(_, details)| details) {
        let label = wrong.as_ref().map_or("", |(label, _)| label);
        let detail = format!("validating label {label:?}: {detail}");
        out.push(FieldError::invalid("spec.signerName", half, detail));
    }
}

fn conditions(out: &mut Errors, conditions: &[Value]) {
    for (i, condition) in conditions.iter().enumerate() {
        let path = format!("status.conditions[{i}]");
        let own = text(condition, "type");
        if own.is_empty() {
            out.push(FieldError::required(format!("{path}.type"), ""));
        }
        let decides = DECISIONS.contains(&own) || own == "Failed";
        match text(condition, "status") {
            "" => out.push(FieldError::required(format!("{path}.status"), "")),
            "True" => {}
            found if decides => {
                out.push(FieldError::not_supported(format!("{path}.status"), found, &["True"]));
            }
            "False" | "Unknown" => {}
            found => out.push(FieldError::not_supported(
                format!("{path}.status"),
                found,
                &["False", "True", "Unknown"],
            )),
        }
        if conditions[..i].iter().any(|c| text(c, "type") == own) {
            out.push(FieldError::duplicate(format!("{path}.type"), own));
        }
    }
    let holds = |name: &str| conditions.iter().any(|c| text(c, "type") == name);
    if DECISIONS.iter().all(|d| holds(d)) {
        let detail = "Approved and Denied conditions are mutually exclusive";
        out.push(FieldError::invalid("status.conditions", "Approved", detail));
    }
}

/// What was asked for never changes, and a decision is final.
pub(crate) fn signing_request_change(out: &mut Errors, new: &Value, old: &Value) {
    super::check::immutable(out, "spec", &new["spec"], &old["spec"]);
    for decision in DECISIONS.iter().chain(&["Failed"]) {
        let had = |object: &Value| {
            items(&object["status"], "conditions").iter().any(|c| text(c, "type") == *decision)
        };
        if had(old) && !had(new) {
            out.push(FieldError::forbidden(
                "status.conditions",
                format!("updates may not remove a condition of type {decision:?}"),
            ));
        }
    }
}
