//! What a namespace's labels say about its pods (k8s `pod-security-admission/api/helpers.go`).

use kabuki_api::validate::FieldError;
use serde_json::Value;

/// Prefix of the labels.
const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much a policy forbids; the later, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// The Kubernetes version whose policy is meant, by its minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32);

/// The newest policy there is.
const LATEST: Version = Version(u32::MAX);

impl Version {
    /// Whether the policy is that of 1.`minor` or newer.
    pub(super) fn from(self, minor: u32) -> bool {
        self.0 >= minor
    }
}

/// A level of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) level: Level,
    pub(super) version: Version,
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            LATEST => write!(f, "{level}:latest"),
            Version(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What nothing is forbidden by: the default.
const ANYTHING: Policy = Policy { level: Level::Privileged, version: LATEST };

/// The policies of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policies {
    /// Violations are refused.
    pub(super) enforce: Policy,
    /// Violations are noted in the audit log.
    pub(super) audit: Policy,
    /// Violations are told the client.
    pub(super) warn: Policy,
    /// Labels that mean nothing. They count as the strictest to enforce, and else as none.
    pub(super) errors: Vec<FieldError>,
}

impl Policies {
    /// Whether nothing is forbidden, noted or told.
    pub(super) fn are_lax(&self) -> bool {
        self.errors.is_empty()
            && [self.enforce, self.audit, self.warn].iter().all(|p| p.level == Level::Privileged)
    }

    /// Reads the labels of a namespace.
    pub(super) fn of(namespace: &Value) -> Self {
        let labels = &namespace["metadata"]["labels"];
        let mut errors = Vec::new();
        // Most namespaces say nothing, and every pod asks.
        if !labels.as_object().is_some_and(|all| all.keys().any(|key| key.starts_with(PREFIX))) {
            return Self { enforce: ANYTHING, audit: ANYTHING, warn: ANYTHING, errors };
        }
        let mut read = |mode: &str, wrong: Level| {
            let mut policy = ANYTHING;
            let own = labels[format!("{PREFIX}{mode}")].as_str();
            if let Some(text) = own {
                policy.level = level(text).unwrap_or_else(|| {
                    let detail = "must be one of privileged, baseline, restricted";
                    errors.push(error(mode, text, detail));
                    wrong
                });
            }
            let version_label = format!("{mode}-version");
            let versioned = labels[format!("{PREFIX}{version_label}")].as_str();
            if let Some(text) = versioned {
                policy.version = version(text).unwrap_or_else(|| {
                    errors.push(error(&version_label, text, "must be \"latest\" or \"v1.x\""));
                    LATEST
                });
            }
            (policy, own.and_then(level).is_some(), own.is_some(), versioned.is_some())
        };
        let (enforce, enforced, ..) = read("enforce", Level::Restricted);
        let (audit, ..) = read("audit", Level::Privileged);
        let (mut warn, _, warned, versioned) = read("warn", Level::Privileged);
        // Who makes a workload is told what its pods will meet.
        if enforced && !warned && enforce.level > warn.level {
            warn.level = enforce.level;
            if !versioned {
                warn.version = enforce.version;
            }
        }
        Self { enforce, audit, warn, errors }
    }
}

fn error(label: &str, value: &str, detail: &str) -> FieldError {
    FieldError::invalid(format!("metadata.labels[{PREFIX}{label}]"), value, detail)
}

fn level(text: &str) -> Option<Level> {
    match text {
        "privileged" => Some(Level::Privileged),
        "baseline" => Some(Level::Baseline),
        "restricted" => Some(Level::Restricted),
        _ => None,
    }
}

fn version(text: &str) -> Option<Version> {
    if text == "latest" {
        return Some(LATEST);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor == "0" || !minor.starts_with('0');
    let digits = !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit());
    if plain && digits { minor.parse().ok().map(Version).filter(|v| *v < LATEST) } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policies(labels: Value) -> (String, Vec<String>) {
        let mut all = json!({});
        for (name, value) in labels.as_object().unwrap() {
            all[format!("{PREFIX}{name}")] = value.clone();
        }
        let found = Policies::of(&json!({"metadata": {"labels": all}}));
        let errors = found.errors.iter().map(ToString::to_string).collect();
        (format!("{} {} {}", found.enforce, found.audit, found.warn), errors)
    }

    #[test]
    fn labels_mean_policies() {
        for (labels, want) in [
            (json!({}), "privileged:latest privileged:latest privileged:latest"),
            (
                json!({"enforce": "restricted", "enforce-version": "v1.25"}),
                "restricted:v1.25 privileged:latest restricted:v1.25",
            ),
            (
                json!({"enforce": "baseline", "warn": "restricted", "audit": "baseline"}),
                "baseline:latest baseline:latest restricted:latest",
            ),
            (
                json!({"enforce": "restricted", "warn": "privileged"}),
                "restricted:latest privileged:latest privileged:latest",
            ),
        ] {
            assert_eq!(policies(labels), (want.to_owned(), Vec::new()));
        }
        let (policies, errors) =
            policies(json!({"enforce": "tight", "warn": "x", "audit-version": "v1.01"}));
        assert_eq!(policies, "restricted:latest privileged:latest privileged:latest");
        assert_eq!(
            errors,
            [
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"tight\": must be one of privileged, baseline, restricted",
                "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\"",
                "metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: \"x\": must be one of privileged, baseline, restricted",
            ]
        );
    }
}
