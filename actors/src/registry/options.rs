//! What a request asks of the registry: who, how, and which objects.

use kabuki_api::decode::Duplicates;
use serde_json::Value;

use super::admission::dynamic::Notes;
use crate::auth::UserInfo;

/// What to do with fields the schema does not know and with duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn; the default of the API.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    /// The value of the parameter, where it is not the default.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Ignore => Some("Ignore"),
            Self::Warn => None,
            Self::Strict => Some("Strict"),
        }
    }
}

/// Who asks and with which options, for one write.
#[derive(Debug, Clone, Default)]
pub struct RequestInfo {
    /// The authenticated (and possibly impersonated) user.
    pub user: UserInfo,
    /// `fieldManager`: who owns the fields this writes.
    pub field_manager: String,
    /// `force`: an apply takes fields that others own.
    pub force: bool,
    /// The subresource this came through when it writes the object itself, such as `scale`.
    pub through: &'static str,
    /// `fieldValidation`.
    pub field_validation: FieldValidation,
    /// Keys the decoder saw twice in the body.
    pub duplicates: Duplicates,
    /// `dryRun=All`: everything but storing.
    pub dry_run: bool,
    /// Dynamic admission was asked already, about the subresource this write carries out.
    pub admitted: bool,
    /// What admission says beside its verdict.
    pub notes: Notes,
}

impl RequestInfo {
    /// A request of a part of this server (a controller, the scheduler, the bootstrap). It is
    /// allowed everything and its unknown fields are dropped silently.
    pub fn internal(component: &str) -> Self {
        Self {
            user: UserInfo {
                name: format!("system:kabuki:{component}"),
                groups: vec!["system:masters".into(), "system:authenticated".into()],
                ..UserInfo::default()
            },
            field_manager: component.to_owned(),
            field_validation: FieldValidation::Ignore,
            ..Self::default()
        }
    }

    /// A request of `user` with the API's default options.
    pub fn of(user: UserInfo) -> Self {
        Self { user, ..Self::default() }
    }
}

/// The part of an object an update or patch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subresource {
    /// Everything but the status (of kinds that have a status endpoint).
    #[default]
    Main,
    /// The status and nothing else.
    Status,
    /// `spec.finalizers` of a Namespace.
    Finalize,
    /// The decision on a CertificateSigningRequest.
    Approval,
    /// What [`super::Registry::bind`] writes: node, condition and annotations of a Pod at once. No
    /// endpoint takes it.
    Binding,
}

/// How the dependents of a deleted object are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Keep them, without their owner reference.
    Orphan,
    /// Delete them after the object; the default.
    Background,
    /// Delete them before the object.
    Foreground,
}

/// `DeleteOptions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds; negative means 1. Only Pods are deleted gracefully.
    pub grace_period_seconds: Option<i64>,
    /// `propagationPolicy`.
    pub propagation: Option<Propagation>,
    /// `orphanDependents`, the older form of the policy; both together are refused.
    pub orphan_dependents: Option<bool>,
    /// `preconditions.uid`.
    pub uid: Option<String>,
    /// `preconditions.resourceVersion`.
    pub resource_version: Option<String>,
    /// `dryRun`.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Adds the options that are set to a `DeleteOptions` body.
    pub(super) fn describe(&self, body: &mut Value) {
        if let Some(seconds) = self.grace_period_seconds {
            body["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(policy) = self.propagation {
            body["propagationPolicy"] = policy.name().into();
        }
        if let Some(orphan) = self.orphan_dependents {
            body["orphanDependents"] = orphan.into();
        }
        if let Some(uid) = &self.uid {
            body["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = &self.resource_version {
            body["preconditions"]["resourceVersion"] = version.as_str().into();
        }
    }

    /// Background deletion, the usual one.
    pub fn background() -> Self {
        Self { propagation: Some(Propagation::Background), ..Self::default() }
    }

    /// Immediate removal (grace 0) of exactly the object with this uid: how a kubelet finishes a
    /// pod.
    pub fn now(uid: &str) -> Self {
        Self { grace_period_seconds: Some(0), uid: Some(uid.to_owned()), ..Self::default() }
    }

    /// Reads a decoded `DeleteOptions` body.
    ///
    /// # Errors
    /// The name of the field that cannot be read.
    pub fn from_value(body: &Value) -> Result<Self, String> {
        let propagation = match body["propagationPolicy"].as_str() {
            None => None,
            Some(text) => Some(Propagation::parse(text).ok_or("propagationPolicy")?),
        };
        let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        Ok(Self {
            grace_period_seconds: body["gracePeriodSeconds"].as_i64(),
            propagation,
            orphan_dependents: body["orphanDependents"].as_bool(),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: body["dryRun"].as_array().is_some_and(|a| !a.is_empty()),
        })
    }
}

impl Propagation {
    /// The policy as clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orphan => "Orphan",
            Self::Background => "Background",
            Self::Foreground => "Foreground",
        }
    }

    /// Reads `Orphan`, `Background` or `Foreground`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Orphan" => Some(Self::Orphan),
            "Background" => Some(Self::Background),
            "Foreground" => Some(Self::Foreground),
            _ => None,
        }
    }
}

/// `ListOptions` of a list, as the query carries them; empty strings are absent.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `limit`; 0 is no limit.
    pub limit: usize,
    /// `continue`.
    pub continue_token: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
}

impl ListOptions {
    /// All objects of one namespace.
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::default() }
    }
}

/// `ListOptions` of a watch, as the query carries them; empty strings are absent.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub resource_version_match: String,
    /// `sendInitialEvents`.
    pub send_initial_events: Option<bool>,
    /// `allowWatchBookmarks`.
    pub allow_bookmarks: bool,
}

/// The content type of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`.
    Apply,
}

impl PatchKind {
    /// Reads a media type (parameters already cut off).
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}
