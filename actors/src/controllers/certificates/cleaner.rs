//! Removes requests that were answered, or that nobody answered (upstream: `cleaner/cleaner.go`).

use std::time::Duration;

use kabuki_api::kind::{CERTIFICATE_SIGNING_REQUEST, Kind};

use super::{has, is_issued};
use crate::{
    controllers::{
        framework::{Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Object, View},
};

/// How long an answered request is kept.
const ANSWERED: Duration = Duration::from_secs(3600);
/// How long one is kept that was neither approved nor denied, or approved and never signed.
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// Removes old requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cleaner;

/// Since when the request is as it is, and how long it may stay so.
fn term(object: &Object) -> (Time, Duration) {
    let value = object.value();
    let created = value["metadata"]["creationTimestamp"].as_str().and_then(Time::parse);
    let answered = is_issued(value) || has(value, "Denied") || has(value, "Failed");
    let conditions = value["status"]["conditions"].as_array().into_iter().flatten();
    let updated = conditions.filter_map(|c| Time::parse(c["lastUpdateTime"].as_str()?)).max();
    let since = updated.filter(|_| answered).or(created).unwrap_or_default();
    (since, if answered { ANSWERED } else { PENDING })
}

impl Controller for Cleaner {
    const NAME: &'static str = "certificatesigningrequest-cleaner-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CERTIFICATE_SIGNING_REQUEST]
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(object) = view.get(CERTIFICATE_SIGNING_REQUEST, "", &key.name) else {
            return Ok(Plan::done());
        };
        let (since, allowed) = term(&object);
        let age = now.since(since);
        if age >= allowed {
            return Ok(Plan::one(Command::delete(&object)));
        }
        Ok(Plan { stages: Vec::new(), requeue: Some(allowed - age + Duration::from_secs(1)) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn answered_requests_go_after_an_hour_and_others_after_a_day() {
        let now = Time::parse("2026-01-02T00:00:00Z").unwrap();
        let condition =
            |kind: &str, at: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": at}]);
        for (created, conditions, certificate, gone) in [
            ("2026-01-01T00:00:00Z", Value::Null, Value::Null, true),
            ("2026-01-01T00:00:01Z", Value::Null, Value::Null, false),
            (
                "2026-01-01T12:00:00Z",
                condition("Denied", "2026-01-01T22:59:00Z"),
                Value::Null,
                true,
            ),
            (
                "2026-01-01T12:00:00Z",
                condition("Denied", "2026-01-01T23:59:00Z"),
                Value::Null,
                false,
            ),
            (
                "2026-01-01T12:00:00Z",
                condition("Approved", "2026-01-01T12:59:00Z"),
                Value::Null,
                false,
            ),
            (
                "2026-01-01T12:00:00Z",
                condition("Approved", "2026-01-01T12:59:00Z"),
                json!("eA=="),
                true,
            ),
        ] {
            let view = MemView::new().with(
                CERTIFICATE_SIGNING_REQUEST,
                json!({"metadata": {"name": "r", "uid": "1", "creationTimestamp": created},
                    "spec": {}, "status": {"conditions": conditions, "certificate": certificate}}),
            );
            let plan = Cleaner.reconcile(&view, &Key::new("", "r"), now).unwrap();
            assert_eq!(plan.commands().len(), usize::from(gone), "{created} {conditions}");
            assert_eq!(plan.requeue.is_none(), gone);
        }
    }
}
