//! The quota controller: counts what a namespace uses when its quotas change, when something is
//! freed, and every few minutes (upstream: `pkg/controller/resourcequota`).
//!
//! What is used more was charged with the object that uses it, so new objects need no counting.

use std::time::Duration;

use kabuki_api::kind::{CUSTOM_RESOURCE_DEFINITION, Kind, POD, RESOURCE_QUOTA};
use time::OffsetDateTime;

use super::{
    framework::{Change, Command, Controller, Key, Plan, ReconcileError},
    model::Time,
};
use crate::registry::{Object, View, quotas};

/// How often a quota is counted although nothing seems to have changed.
const RESYNC: Duration = Duration::from_secs(300);

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResourceQuotaController;

impl Controller for ResourceQuotaController {
    const NAME: &'static str = "resourcequota-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        let others = quotas::counted_kinds().filter(|kind| *kind != RESOURCE_QUOTA);
        [RESOURCE_QUOTA, CUSTOM_RESOURCE_DEFINITION].into_iter().chain(others).collect()
    }

    fn custom(&self, view: &dyn View) -> Vec<&'static Kind> {
        quotas::counted_custom_kinds(view)
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        let object = &change.object;
        if change.kind() == RESOURCE_QUOTA && !change.gone {
            // A charge changes the status only. What people write there stays until the next count.
            let same = |old: &Object| old.value()["spec"] == object.value()["spec"];
            if !change.previous.as_deref().is_some_and(same) {
                out.push(Key::of(object));
            }
            return;
        }
        let (old, new) = match (&change.previous, change.gone) {
            (_, true) => (object, None),
            (Some(previous), false) => (previous, Some(object.as_ref())),
            (None, false) => return,
        };
        if !change.kind().namespaced {
            return;
        }
        let quotas = view.list(RESOURCE_QUOTA, Some(object.namespace()));
        if quotas.is_empty() {
            return;
        }
        // The end of a pod's time is no change, so it is looked for when the pod begins to go.
        let goes = change.kind() == POD && object.is_deleting() && !old.is_deleting();
        let now = OffsetDateTime::UNIX_EPOCH;
        out.extend(
            quotas
                .iter()
                .filter(|quota| goes || quotas::frees(quota, change.kind(), old, new, now))
                .map(|quota| Key::of(quota)),
        );
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(quota) = view.get(RESOURCE_QUOTA, &key.namespace, &key.name) else {
            return Ok(Plan::done());
        };
        if quota.is_deleting() {
            return Ok(Plan::done());
        }
        let now = now.date_time();
        let status = quotas::counted_status(view, &quota, now);
        let mut plan = Plan { stages: Vec::new(), requeue: Some(RESYNC) };
        if let Some(next) = quotas::next_end(view, &key.namespace, now) {
            plan.requeue_after(next);
        }
        if quota.value()["status"] != status {
            let mut value = quota.value().clone();
            value["status"] = status;
            plan.then(Command::update_status(&quota, value));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::CONFIG_MAP;
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::MemView;

    #[test]
    fn a_lost_pod_uses_nothing_once_its_time_is_over() {
        let quota = json!({"metadata": {"name": "q", "namespace": "d"}, "status": {},
            "spec": {"hard": {"pods": "2"}}});
        let mut view = MemView::new().with(RESOURCE_QUOTA, quota);
        let pod = |deleted: Value| {
            json!({"metadata": {"name": "p", "namespace": "d", "deletionTimestamp": deleted,
                "deletionGracePeriodSeconds": 30}, "status": {"phase": "Running"}})
        };
        let before = view.put(POD, pod(Value::Null));
        let going = view.put(POD, pod("1970-01-01T00:01:00Z".into()));
        let change = Change { object: going, previous: Some(before), gone: false };
        assert_eq!(keys(&view, &change), 1);
        let at = |secs: i64| {
            let key = Key::new("d", "q");
            let plan =
                ResourceQuotaController.reconcile(&view, &key, Time::from_secs(secs)).unwrap();
            let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
            (object["status"]["used"]["pods"].clone(), plan.requeue)
        };
        assert_eq!(at(60), (json!("1"), Some(Duration::from_secs(31))));
        assert_eq!(at(91), (json!("0"), Some(RESYNC)));
    }

    fn keys(view: &MemView, change: &Change) -> usize {
        let mut out = Vec::new();
        ResourceQuotaController.keys(view, change, &mut out);
        out.len()
    }

    #[test]
    fn counts_what_is_there_and_looks_again() {
        let pod = |phase: &str| json!({"metadata": {"name": "p", "namespace": "d"}, "status": {"phase": phase}});
        let quota = |status: Value| json!({"metadata": {"name": "q", "namespace": "d"}, "spec": {"hard": {"pods": "2"}}, "status": status});
        let mut view = MemView::new();
        let new = view.put(RESOURCE_QUOTA, quota(json!({})));
        let running = view.put(POD, pod("Running"));
        let created = Change { object: new.clone(), previous: None, gone: false };
        assert_eq!(keys(&view, &created), 1);
        let plan = ResourceQuotaController
            .reconcile(&view, &Key::new("d", "q"), Time::from_secs(0))
            .unwrap();
        assert_eq!(plan.requeue, Some(RESYNC));
        let Command::Update { object, .. } = plan.commands()[0] else { panic!() };
        assert_eq!(object["status"], json!({"hard": {"pods": "2"}, "used": {"pods": "1"}}));
        let charged = view.put(RESOURCE_QUOTA, object.clone());
        let change = Change { object: charged, previous: Some(new), gone: false };
        assert_eq!(keys(&view, &change), 0, "a charge is no reason to count");
        let plan = ResourceQuotaController
            .reconcile(&view, &Key::new("d", "q"), Time::from_secs(0))
            .unwrap();
        assert_eq!(plan.commands().len(), 0);
        let over = view.put(POD, pod("Failed"));
        let ended = Change { object: over, previous: Some(running.clone()), gone: false };
        assert_eq!(keys(&view, &ended), 1);
        let gone = Change { object: running.clone(), previous: None, gone: true };
        assert_eq!(keys(&view, &gone), 1);
        let made = Change { object: running, previous: None, gone: false };
        assert_eq!(keys(&view, &made), 0, "its create was charged");
        let map = json!({"metadata": {"name": "m", "namespace": "d"}});
        let map = Change { object: view.put(CONFIG_MAP, map), previous: None, gone: true };
        assert_eq!(keys(&view, &map), 0, "not limited");
    }
}
