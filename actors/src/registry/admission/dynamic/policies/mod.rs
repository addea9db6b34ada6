//! Admission policies (apiserver `pkg/admission/plugin/policy`): ValidatingAdmissionPolicy and
//! MutatingAdmissionPolicy with their bindings. Which apply is decided in `matching`, with which
//! parameters in `params`, what their expressions see is made in `input`.
//!
//! Expressions run where the write runs: each is bounded ([`kabuki_api::cel::PER_CALL_LIMIT`]), and
//! others get their turn between two bindings.

mod conditions;
mod input;
mod loaded;
mod matching;
mod mutating;
mod params;
mod validating;

use std::sync::Arc;

use kabuki_api::{
    kind::{
        Kind, MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING,
        VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING,
    },
    status::Status,
};
use parking_lot::RwLock;

use self::loaded::Definition;
pub(super) use self::{mutating::mutate, validating::validate};
use super::{Attributes, Registry};

/// The policies of this member's applied state.
#[derive(Default)]
pub(in crate::registry) struct Policies {
    validating: RwLock<Cached>,
    mutating: RwLock<Cached>,
}

/// What was read last, and at which revisions of the two topics.
#[derive(Default)]
struct Cached {
    revisions: [u64; 2],
    definitions: Arc<[Arc<Definition>]>,
}

fn current(
    registry: &Registry,
    kinds: [&'static Kind; 2],
    cached: &RwLock<Cached>,
) -> Arc<[Arc<Definition>]> {
    let revisions = kinds.map(|kind| registry.store().topic_revision(kind.topic()));
    let known = {
        let cached = cached.read();
        if cached.revisions == revisions {
            return Arc::clone(&cached.definitions);
        }
        Arc::clone(&cached.definitions)
    };
    // Read after the revisions: what comes between is read again next time.
    let definitions: Arc<[Arc<Definition>]> = loaded::load(registry, kinds, &known).into();
    let mut cached = cached.write();
    if cached.revisions.iter().zip(&revisions).all(|(had, has)| had <= has) {
        *cached = Cached { revisions, definitions: Arc::clone(&definitions) };
    }
    definitions
}

fn validating_definitions(registry: &Registry) -> Arc<[Arc<Definition>]> {
    let kinds = [VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING];
    current(registry, kinds, &registry.policies().validating)
}

fn mutating_definitions(registry: &Registry) -> Arc<[Arc<Definition>]> {
    let kinds = [MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING];
    current(registry, kinds, &registry.policies().mutating)
}

/// Whether no mutating policy is bound.
pub(super) fn mutators_idle(registry: &Registry) -> bool {
    mutating_definitions(registry).is_empty()
}

/// Whether no validating policy is bound.
pub(super) fn validators_idle(registry: &Registry) -> bool {
    validating_definitions(registry).is_empty()
}

/// 403 for the request's object, in admission's words.
fn refused(attributes: &Attributes<'_>, object: &serde_json::Value, message: &str) -> Status {
    let own = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let names = [attributes.name, own("name"), own("generateName")];
    let name = names.into_iter().find(|n| !n.is_empty()).unwrap_or_default();
    Status::forbidden(attributes.kind, name, message)
}

/// Adds a cause that is a text and nothing else.
fn add_cause(status: &mut Status, message: &str) {
    let cause = kabuki_api::status::Cause { message: message.to_owned(), ..Default::default() };
    status.details.get_or_insert_default().causes.push(cause);
}
