//! Admission webhooks (apiserver `pkg/admission/plugin/webhook`): which are asked is decided in
//! `rules`, what they are asked and may answer in `review`; `mutating` and `validating` ask them.

mod ask;
mod conditions;
mod hook;
mod mutating;
mod review;
mod rules;
mod validating;

use std::sync::Arc;

use kabuki_api::kind::{Kind, MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION};
use parking_lot::RwLock;

use self::hook::Hook;
pub(super) use self::{mutating::Rounds, mutating::mutate, validating::validate};
use super::super::super::store::Registry;
use crate::outbound::Clients;

/// The webhooks of this member's applied state, and the connections to them.
#[derive(Default)]
pub(in crate::registry) struct Webhooks {
    mutating: RwLock<Cached>,
    validating: RwLock<Cached>,
    clients: Clients,
}

impl Webhooks {
    /// The connections.
    fn clients(&self) -> &Clients {
        &self.clients
    }
}

/// What was read last, and at which revision of its topic.
#[derive(Default)]
struct Cached {
    revision: u64,
    hooks: Arc<[Hook]>,
}

fn hooks(registry: &Registry, kind: &'static Kind, cached: &RwLock<Cached>) -> Arc<[Hook]> {
    let revision = registry.store().topic_revision(kind.topic());
    {
        let cached = cached.read();
        if cached.revision == revision {
            return Arc::clone(&cached.hooks);
        }
    }
    // Read after the revision: what comes between is read again next time.
    let hooks: Arc<[Hook]> = Hook::all(registry, kind).into();
    let mut cached = cached.write();
    if cached.revision < revision {
        *cached = Cached { revision, hooks: Arc::clone(&hooks) };
    }
    hooks
}

/// Whether no mutating webhook is configured.
pub(super) fn mutators_idle(registry: &Registry) -> bool {
    mutating_hooks(registry).is_empty()
}

/// Whether no validating webhook is configured.
pub(super) fn validators_idle(registry: &Registry) -> bool {
    validating_hooks(registry).is_empty()
}

/// The mutating webhooks, in order.
fn mutating_hooks(registry: &Registry) -> Arc<[Hook]> {
    hooks(registry, MUTATING_WEBHOOK_CONFIGURATION, &registry.webhooks().mutating)
}

/// The validating webhooks, in order.
fn validating_hooks(registry: &Registry) -> Arc<[Hook]> {
    hooks(registry, VALIDATING_WEBHOOK_CONFIGURATION, &registry.webhooks().validating)
}
