//! One question to one webhook.

use kabuki_api::{
    kind::{self, Kind},
    status::Status,
};
use serde_json::Value;

use super::{
    super::{Attributes, Registry, gvk},
    hook::Hook,
    review::{Answer, Review, denied, verify},
};
use crate::outbound;

/// Characters of an audit annotation's key that a webhook may choose.
const ANNOTATION_KEY_CHARS_MAX: usize = 253;

/// Why a webhook did not let a request pass.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It could not be asked, or what it answered is no answer.
    Failed(String),
    /// It said no, or the request must not be made of it.
    Denied(Status),
}

impl Refusal {
    pub(super) fn failed(hook: &Hook, why: impl std::fmt::Display) -> Self {
        Self::Failed(format!("failed calling webhook {:?}: {why}", hook.name))
    }
}

/// The objects of a request in the form a webhook wants to see them.
pub(super) struct Seen {
    pub kind: &'static Kind,
    pub object: Value,
    pub old: Option<Value>,
}

impl Seen {
    /// `object` is in the form of the request; owners of fields are shown where they are known.
    pub(super) fn new(attributes: &Attributes<'_>, kind: &'static Kind, object: &Value) -> Self {
        let mut seen = Self { kind, object: object.clone(), old: attributes.old.cloned() };
        if let (Some(old), Some(managed)) = (&mut seen.old, attributes.old_managed)
            && let Ok(managed) = serde_json::from_str::<Value>(managed)
            && old["metadata"].is_object()
        {
            old["metadata"]["managedFields"] = managed;
        }
        if kind != attributes.kind && attributes.body == gvk(attributes.kind) {
            for object in [Some(&mut seen.object), seen.old.as_mut()].into_iter().flatten() {
                convert(object, attributes.kind, kind);
            }
        }
        seen
    }
}

/// Brings an object from the form of one kind into that of another that is stored in the same place.
pub(super) fn convert(object: &mut Value, from: &'static Kind, to: &'static Kind) {
    if object.is_object() && from != to {
        kind::to_storage_version(from, object);
        kind::to_version(to, object);
    }
}

/// Asks a webhook. What it says beside its verdict is noted whatever that is.
pub(super) async fn ask(
    registry: &Registry,
    attributes: &Attributes<'_>,
    hook: &Hook,
    seen: &Seen,
    mutating: bool,
) -> Result<Answer, Refusal> {
    if attributes.dry_run() && !hook.dry_run {
        let text = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Refusal::Denied(Status::bad_request(text)));
    }
    let Some(version) = hook.version else {
        let why = "could not create admission objects: webhook does not accept known \
                   AdmissionReview versions (v1, v1beta1)";
        return Err(Refusal::failed(hook, why));
    };
    let review = Review::new(attributes, seen.kind, version, &seen.object, seen.old.as_ref());
    let clients = registry.webhooks().clients();
    let body = review.body.clone();
    let answered =
        outbound::post(clients, registry, &hook.target, &hook.ca_bundle, hook.timeout, body).await;
    let answered = answered
        .map_err(|why| Refusal::failed(hook, format_args!("failed to call webhook: {why}")))?;
    let answer = verify(&review, mutating, &answered).map_err(|why| {
        Refusal::failed(hook, format_args!("received invalid webhook response: {why}"))
    })?;
    for (key, value) in &answer.annotations {
        if key.chars().count() <= ANNOTATION_KEY_CHARS_MAX {
            attributes.notes().annotate(&format!("{}/{key}", hook.name), value);
        }
    }
    for warning in &answer.warnings {
        attributes.notes().warn(warning);
    }
    if answer.allowed {
        return Ok(answer);
    }
    Err(Refusal::Denied(denied(&hook.name, answer.result)))
}
