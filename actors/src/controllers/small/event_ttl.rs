//! Events live for an hour after they were last seen (upstream: `--event-ttl`, an etcd lease).

use std::time::Duration;

use kabuki_api::kind::{EVENT, Kind};
use serde::Deserialize;

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Object, View},
};

/// How long an event is kept after it was last seen.
pub(crate) const EVENT_TTL: Duration = Duration::from_secs(3600);

/// Deletes old events.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventCleaner;

/// The times of an event. Read from the bytes, so that events are not kept decoded.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Times {
    metadata: Created,
    last_timestamp: Option<Time>,
    event_time: Option<Time>,
    series: Series,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Created {
    creation_timestamp: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    last_observed_time: Option<Time>,
}

impl Controller for EventCleaner {
    const NAME: &'static str = "event-ttl-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![EVENT]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        // A repeated event is looked at when its first time is over; that is soon enough.
        if !change.gone && change.previous.is_none() {
            out.push(Key::of(&change.object));
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(event) = view.get(EVENT, &key.namespace, &key.name) else {
            return Ok(Plan::done());
        };
        let age = now.since(last_seen(&event));
        if age >= EVENT_TTL {
            let options = crate::registry::DeleteOptions::background();
            return Ok(Plan::one(Command::delete_with(&event, options)));
        }
        Ok(Plan { stages: Vec::new(), requeue: Some(EVENT_TTL - age + Duration::from_secs(1)) })
    }
}

/// An event without any readable time counts as one of 1970 and goes.
fn last_seen(event: &Object) -> Time {
    let times: Times = serde_json::from_slice(&event.record().value).unwrap_or_default();
    [
        times.metadata.creation_timestamp,
        times.last_timestamp,
        times.event_time,
        times.series.last_observed_time,
    ]
    .into_iter()
    .flatten()
    .max()
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn old_events_go() {
        let now = Time::parse("2026-01-01T12:00:00Z").unwrap();
        let event = |last: &str| {
            json!({"metadata": {"name": "e", "namespace": "ns",
                "creationTimestamp": "2026-01-01T01:00:00Z"}, "lastTimestamp": last})
        };
        for (last, deleted, wait) in
            [("2026-01-01T10:59:59Z", 1, None), ("2026-01-01T11:30:00Z", 0, Some(1801))]
        {
            let view = MemView::new().with(EVENT, event(last));
            let plan = EventCleaner.reconcile(&view, &Key::new("ns", "e"), now).unwrap();
            assert_eq!(plan.commands().len(), deleted);
            assert_eq!(plan.requeue.map(|d| d.as_secs()), wait);
        }
    }
}
