//! Defaults of webhooks (k8s pkg/apis/admissionregistration/v1/defaults.go).

use serde_json::{Value, json};

use super::{items, set, set_in};

/// Seconds a webhook may take.
const TIMEOUT_SECONDS: i64 = 10;
const HTTPS_PORT: i64 = 443;

pub(crate) fn mutating(object: &mut Value) {
    each(object, |webhook| set(webhook, "reinvocationPolicy", "Never"));
}

pub(crate) fn validating(object: &mut Value) {
    each(object, |_| {});
}

fn each(object: &mut Value, more: fn(&mut Value)) {
    for webhook in items(object, "/webhooks") {
        if !webhook.is_object() {
            continue;
        }
        set(webhook, "failurePolicy", "Fail");
        set(webhook, "matchPolicy", "Equivalent");
        set(webhook, "namespaceSelector", json!({}));
        set(webhook, "objectSelector", json!({}));
        set(webhook, "timeoutSeconds", TIMEOUT_SECONDS);
        set_in(webhook, "/clientConfig/service", "port", HTTPS_PORT);
        for rule in items(webhook, "/rules") {
            set(rule, "scope", "*");
        }
        more(webhook);
    }
}

/// k8s kube-aggregator pkg/apis/apiregistration/v1/defaults.go.
pub(crate) fn api_service(object: &mut Value) {
    set_in(object, "/spec/service", "port", HTTPS_PORT);
}
