//! How versions are converted into each other.

use serde_json::Value;

use super::{Errors, list, one_of, present, text};
use crate::{name, validate::FieldError};

/// Versions of ConversionReview that the server speaks.
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const CLIENT: &str = "spec.conversion.webhookClientConfig";
const VERSIONS: &str = "spec.conversion.conversionReviewVersions";

/// Checks `spec.conversion`.
pub(super) fn check(out: &mut Errors, spec: &Value, old: Option<&Value>) {
    let Some(conversion) = present(spec, "conversion") else { return };
    let strategy = text(conversion, "strategy");
    if strategy != "None" && spec["preserveUnknownFields"] == true {
        let detail = "must be None if spec.preserveUnknownFields is true";
        out.push(FieldError::invalid("spec.conversion.strategy", strategy, detail));
    }
    one_of(out, "spec.conversion.strategy", strategy, &["None", "Webhook"]);
    let webhook = &conversion["webhook"];
    let given = &webhook["conversionReviewVersions"];
    if strategy == "Webhook" {
        match present(webhook, "clientConfig") {
            None => {
                let detail = "required when strategy is set to Webhook";
                out.push(FieldError::required(CLIENT, detail));
            }
            Some(client) => client_config(out, client),
        }
        let before = old.map(|old| &old["conversion"]["webhook"]["conversionReviewVersions"]);
        // What was stored without a version that is spoken here may stay.
        let recognized = |versions: &Value| {
            list(versions).iter().any(|v| REVIEW_VERSIONS.contains(&v.as_str().unwrap_or_default()))
        };
        let strict = before.is_none_or(|before| list(before).is_empty() || recognized(before));
        review_versions(out, given, strict && !recognized(given));
        return;
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if present(webhook, "clientConfig").is_some() {
        out.push(FieldError::forbidden(CLIENT, detail));
    }
    if !list(given).is_empty() {
        out.push(FieldError::forbidden(VERSIONS, detail));
    }
}

fn client_config(out: &mut Errors, client: &Value) {
    let service = present(client, "service");
    match (client["url"].as_str(), service) {
        (None, None) | (Some(_), Some(_)) => {
            out.push(FieldError::required(CLIENT, "exactly one of url or service is required"));
        }
        (Some(url), None) => webhook_url(out, url),
        (None, Some(service)) => webhook_service(out, service),
    }
}

/// `webhook.ValidateWebhookURL` of apiserver.
fn webhook_url(out: &mut Errors, url: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    let path = format!("{CLIENT}.url");
    let mut refuse =
        |value: &str, detail: String| out.push(FieldError::invalid(path.clone(), value, detail));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    if scheme != "https" {
        refuse(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        refuse(host, format!("host must be specified{FORM}"));
    }
    if let Some((user, _)) = host.rsplit_once('@') {
        refuse(user, format!("user information is not permitted in the URL{FORM}"));
    }
    if let Some((_, fragment)) = rest.split_once('#') {
        refuse(fragment, format!("fragments are not permitted in the URL{FORM}"));
    }
    let before = rest.split('#').next().unwrap_or_default();
    if let Some((_, query)) = before.split_once('?') {
        refuse(query, format!("query parameters are not permitted in the URL{FORM}"));
    }
}

/// `webhook.ValidateWebhookService` of apiserver.
fn webhook_service(out: &mut Errors, service: &Value) {
    let path = format!("{CLIENT}.service");
    for name in ["name", "namespace"] {
        if text(service, name).is_empty() {
            out.push(FieldError::required(
                format!("{path}.{name}"),
                format!("service {name} is required"),
            ));
        }
    }
    let port = service["port"].as_i64().unwrap_or(443);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        out.push(FieldError::invalid(format!("{path}.port"), port, detail));
    }
    let Some(url) = service["path"].as_str().filter(|url| *url != "/" && !url.is_empty()) else {
        return;
    };
    let path = format!("{path}.path");
    if !url.starts_with('/') {
        out.push(FieldError::invalid(path.clone(), url, "must start with a '/'"));
    }
    for (i, segment) in url.trim_matches('/').split('/').enumerate() {
        if segment.is_empty() {
            let detail = format!("segment[{i}] may not be empty");
            out.push(FieldError::invalid(path.clone(), url, detail));
        } else if let [first, ..] = name::dns1123_subdomain(segment).as_slice() {
            let detail = format!("segment[{i}]: {first}");
            out.push(FieldError::invalid(path.clone(), url, detail));
        }
    }
}

fn review_versions(out: &mut Errors, given: &Value, none_recognized: bool) {
    let versions = list(given);
    if versions.is_empty() {
        out.push(FieldError::required(VERSIONS, ""));
        return;
    }
    for (i, version) in versions.iter().enumerate() {
        let path = format!("{VERSIONS}[{i}]");
        let name = version.as_str().unwrap_or_default();
        if versions[..i].contains(version) {
            out.push(FieldError::invalid(path, name, "duplicate version"));
            continue;
        }
        for fault in name::dns1035_label(name) {
            out.push(FieldError::invalid(path.clone(), name, fault));
        }
    }
    if none_recognized {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        out.push(FieldError::invalid(VERSIONS, given.clone(), detail));
    }
}
