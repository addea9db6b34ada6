//! Webhooks as configured, read once per change of their configurations.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_api::{kind::Kind, selector::LabelSelector};
use serde_json::Value;

use super::{conditions::Conditions, rules::Rule};
use crate::{
    outbound::Target,
    registry::{View, object::text},
};

/// Seconds a webhook may take, where the object does not say it.
const TIMEOUT_SECONDS: u64 = 10;
/// Longest time a webhook may take, seconds.
const TIMEOUT_SECONDS_MAX: u64 = 30;

/// The version of AdmissionReview a webhook reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

/// One webhook of one configuration.
#[derive(Debug)]
pub(super) struct Hook {
    /// Name of the configuration.
    pub configuration: String,
    pub name: String,
    pub rules: Vec<Rule>,
    pub ignores_failure: bool,
    pub exact: bool,
    /// `Err`: a selector that cannot be read, and why.
    pub namespaces: Result<LabelSelector, String>,
    pub objects: Result<LabelSelector, String>,
    /// Whether it may be asked about a dry run.
    pub dry_run: bool,
    pub timeout: Duration,
    pub version: Option<ReviewVersion>,
    pub reinvoked: bool,
    pub target: Target,
    /// PEM of the authority it is trusted by.
    pub ca_bundle: Vec<u8>,
    pub conditions: Conditions,
}

impl Hook {
    /// All webhooks of a kind of configuration, in the order they are asked: by the name of their
    /// configuration, then as listed.
    pub(super) fn all(view: &dyn View, kind: &'static Kind) -> Vec<Self> {
        let mut hooks = Vec::new();
        for configuration in view.list(kind, None) {
            let value = configuration.value();
            for hook in value["webhooks"].as_array().into_iter().flatten() {
                hooks.push(Self::read(configuration.name(), hook));
            }
        }
        hooks
    }

    fn read(configuration: &str, hook: &Value) -> Self {
        let selector = |field: &str| {
            LabelSelector::from_object(&hook[field]).map_err(|error| error.to_string())
        };
        let config = &hook["clientConfig"];
        let seconds = hook["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT_SECONDS);
        let versions = hook["admissionReviewVersions"].as_array().into_iter().flatten();
        Self {
            configuration: configuration.to_owned(),
            name: text(hook, "name").to_owned(),
            rules: hook["rules"].as_array().into_iter().flatten().map(Rule::read).collect(),
            ignores_failure: hook["failurePolicy"] == "Ignore",
            exact: hook["matchPolicy"] == "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            dry_run: matches!(text(hook, "sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(seconds.clamp(1, TIMEOUT_SECONDS_MAX)),
            version: versions.filter_map(Value::as_str).find_map(|version| match version {
                "v1" => Some(ReviewVersion::V1),
                "v1beta1" => Some(ReviewVersion::V1Beta1),
                _ => None,
            }),
            reinvoked: hook["reinvocationPolicy"] == "IfNeeded",
            target: target(config),
            conditions: Conditions::read(hook),
            ca_bundle: STANDARD.decode(text(config, "caBundle")).unwrap_or_default(),
        }
    }
}

fn target(config: &Value) -> Target {
    let service = &config["service"];
    if !service.is_object() {
        return Target::Url(text(config, "url").to_owned());
    }
    let path = text(service, "path");
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    Target::Service {
        namespace: text(service, "namespace").to_owned(),
        name: text(service, "name").to_owned(),
        port: service["port"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(443),
        path: format!("{slash}{path}"),
    }
}
