//! Which objects belong to a controller: adoption and release by selector and owner reference
//! (upstream: `pkg/controller/controller_ref_manager.go`).

use kabuki_api::selector::LabelSelector;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    framework::{Command, ObjectRef, ReconcileError},
    model::{Meta, Typed},
};

/// What an object is to an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Managed by the owner, and meant to be.
    Keep,
    /// Matches and has no manager.
    Adopt,
    /// Managed by the owner and does not match any more.
    Release,
    /// None of the owner's business.
    Ignore,
}

/// Judges one object.
pub(super) fn judge(owner: &Meta, matches: bool, object: &Meta) -> Claim {
    match object.controller() {
        Some(manager) if manager.uid != owner.uid => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        Some(_) if owner.is_deleting() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if !matches || owner.is_deleting() || object.is_deleting() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// The objects that belong to the owner, and the commands that make it so.
pub(super) struct Claimed<T> {
    pub owned: Vec<Typed<T>>,
    pub commands: Vec<Command>,
}

/// Sorts out `candidates` for an owner.
pub(super) fn claim<T>(
    owner: &ObjectRef,
    owner_meta: &Meta,
    selector: &LabelSelector,
    candidates: Vec<Typed<T>>,
    meta: impl Fn(&T) -> &Meta,
) -> Claimed<T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let mut claimed = Claimed { owned: Vec::new(), commands: Vec::new() };
    for object in candidates {
        let its = meta(&object);
        match judge(owner_meta, selector.matches(&its.labels), its) {
            Claim::Keep => claimed.owned.push(object),
            Claim::Adopt => {
                claimed.commands.push(adopt(owner, &object));
                claimed.owned.push(object);
            }
            Claim::Release => claimed.commands.push(release(&owner.uid, &object)),
            Claim::Ignore => {}
        }
    }
    claimed
}

fn adopt<T>(owner: &ObjectRef, object: &Typed<T>) -> Command {
    let mut value = object.object.value().clone();
    let reference = serde_json::to_value(owner.as_controller()).unwrap_or_default();
    match &mut value["metadata"]["ownerReferences"] {
        Value::Array(list) => list.push(reference),
        absent => *absent = Value::Array(vec![reference]),
    }
    Command::update(&object.object, value)
}

fn release<T>(owner_uid: &str, object: &Typed<T>) -> Command {
    let mut value = object.object.value().clone();
    if let Some(list) = value["metadata"]["ownerReferences"].as_array_mut() {
        list.retain(|reference| reference["uid"] != owner_uid);
    }
    Command::update(&object.object, value)
}

/// Reads `spec.selector` of a workload.
pub(super) fn selector_of(value: &Value) -> Result<LabelSelector, ReconcileError> {
    LabelSelector::from_object(value)
        .map_err(|e| ReconcileError::Invalid(format!("spec.selector: {}", e.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::model::{OwnerReference, Time};

    #[test]
    fn judgements() {
        let meta = |uid: &str, deleting: bool, manager: &str| Meta {
            uid: uid.into(),
            deletion_timestamp: deleting.then(|| Time::from_secs(1)),
            owner_references: (!manager.is_empty())
                .then(|| OwnerReference {
                    uid: manager.into(),
                    controller: true,
                    ..OwnerReference::default()
                })
                .into_iter()
                .collect(),
            ..Meta::default()
        };
        for (owner_deleting, object_deleting, manager, matches, expected) in [
            (false, false, "me", true, Claim::Keep),
            (false, true, "me", true, Claim::Keep),
            (false, false, "me", false, Claim::Release),
            (true, false, "me", false, Claim::Ignore),
            (false, false, "other", true, Claim::Ignore),
            (false, false, "", true, Claim::Adopt),
            (false, false, "", false, Claim::Ignore),
            (true, false, "", true, Claim::Ignore),
            (false, true, "", true, Claim::Ignore),
        ] {
            let owner = meta("me", owner_deleting, "");
            let object = meta("it", object_deleting, manager);
            assert_eq!(judge(&owner, matches, &object), expected, "{manager:?} {matches}");
        }
    }
}
