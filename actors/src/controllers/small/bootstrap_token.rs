//! Removes join tokens whose time is over (upstream: `pkg/controller/bootstrap/tokencleaner.go`).

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use kabuki_api::kind::{Kind, SECRET};

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{Secret, Time, get},
    },
    registry::View,
};

const NAMESPACE: &str = "kube-system";
const PREFIX: &str = "bootstrap-token-";
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// Deletes expired bootstrap tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct BootstrapTokenCleaner;

impl Controller for BootstrapTokenCleaner {
    const NAME: &'static str = "token-cleaner";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![SECRET]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        let object = &change.object;
        if object.namespace() == NAMESPACE && object.name().starts_with(PREFIX) && !change.gone {
            out.push(Key::of(object));
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        if key.namespace != NAMESPACE || !key.name.starts_with(PREFIX) {
            return Ok(Plan::done());
        }
        let Some(secret) = get::<Secret>(view, SECRET, &key.namespace, &key.name)? else {
            return Ok(Plan::done());
        };
        if secret.kind != TYPE {
            return Ok(Plan::done());
        }
        let Some(expiration) = secret.data.get("expiration") else { return Ok(Plan::done()) };
        let text = BASE64_STANDARD.decode(expiration).ok().and_then(|b| String::from_utf8(b).ok());
        // A time that cannot be read authenticates nobody, so it has expired.
        let expires = text.and_then(|text| Time::parse(&text)).unwrap_or_default();
        if expires <= now {
            return Ok(Plan::one(Command::delete(&secret.object)));
        }
        let requeue = Some(expires.since(now) + Duration::from_secs(1));
        Ok(Plan { stages: Vec::new(), requeue })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn only_expired_tokens_go() {
        let now = Time::parse("2026-01-01T00:00:00Z").unwrap();
        for (kind, expiration, deleted) in [
            (TYPE, Some("2025-12-31T23:59:59Z"), 1),
            (TYPE, Some("2026-01-01T00:00:01Z"), 0),
            (TYPE, Some("2025-12-31T19:00:00-04:00"), 1),
            (TYPE, Some("never"), 1),
            (TYPE, None, 0),
            ("Opaque", Some("2025-12-31T23:59:59Z"), 0),
        ] {
            let data = match expiration {
                Some(text) => json!({"expiration": BASE64_STANDARD.encode(text)}),
                None => json!({}),
            };
            let view = MemView::new().with(
                SECRET,
                json!({"metadata": {"name": "bootstrap-token-abc", "namespace": NAMESPACE},
                    "type": kind, "data": data}),
            );
            let key = Key::new(NAMESPACE, "bootstrap-token-abc");
            let plan = BootstrapTokenCleaner.reconcile(&view, &key, now).unwrap();
            assert_eq!(plan.commands().len(), deleted, "{kind} {expiration:?}");
        }
    }
}
