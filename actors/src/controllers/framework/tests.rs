//! The reconciler actor on virtual time, over a stand-in of the registry.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use kabuki_api::{
    kind::{CONFIG_MAP, Kind},
    status::Status,
};
use serde_json::json;

use super::*;
use crate::{
    controllers::model::Time,
    kernel::{ChildSpec, TestKit},
    registry::{MemView, Registry, View},
};

/// Remembers what it was told and refuses what it is told to refuse.
#[derive(Default)]
struct Fake {
    view: MemView,
    applied: Mutex<Vec<String>>,
    refusals: Mutex<HashMap<String, Status>>,
}

#[async_trait]
impl Backend for Fake {
    fn view(&self) -> &dyn View {
        &self.view
    }

    async fn apply(&self, _component: &str, command: Command) -> Result<String, Status> {
        let what = command.describe();
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.applied.lock().unwrap().push(what.clone());
        match self.refusals.lock().unwrap().get(&what) {
            Some(status) => Err(status.clone()),
            None => Ok(String::new()),
        }
    }

    async fn settle(&self) -> Result<(), Status> {
        Ok(())
    }

    fn record(&self, _component: &'static str, note: Note) {
        self.applied.lock().unwrap().push(note.reason.to_owned());
    }

    fn source(&self) -> Option<&Registry> {
        None
    }
}

/// Makes a ConfigMap `made-…` for each ConfigMap; panics on `bad`.
#[derive(Clone, Default)]
struct Maker;

impl Controller for Maker {
    const NAME: &'static str = "maker";
    const WORKERS: usize = 2;

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CONFIG_MAP]
    }

    fn keys(&mut self, _: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.push(Key::of(&change.object));
    }

    fn reconcile(&mut self, _: &dyn View, key: &Key, _: Time) -> Result<Plan, ReconcileError> {
        assert_ne!(key.name, "bad", "cannot read this one");
        let object = json!({"metadata": {"name": format!("made-{}", key.name), "namespace": "ns"}});
        Ok(Plan::one(Command::create(CONFIG_MAP, object)))
    }

    fn refused(&mut self, _: &dyn View, key: &Key, _: Time, _: &Failure) -> Plan {
        let on = ObjectRef {
            kind: CONFIG_MAP,
            namespace: "ns".into(),
            name: key.name.clone(),
            uid: String::new(),
        };
        Plan::one(Command::Record(Note::warning(on, "Refused", "no")))
    }
}

fn feed(names: &[&str]) -> Feed {
    let change = |name: &&str| {
        let value = json!({"metadata": {"name": name, "namespace": "ns"}});
        let object = MemView::new().put(CONFIG_MAP, value);
        Change { object, previous: None, gone: false }
    };
    let changes = names.iter().map(change).collect();
    Feed { kind: CONFIG_MAP, changes, state: false, begins: false, ends: false }
}

fn made(fake: &Fake) -> Vec<String> {
    let mut applied = fake.applied.lock().unwrap().clone();
    applied.sort();
    applied
}

#[test]
fn a_panicking_object_is_set_aside_and_the_others_go_on() {
    TestKit::run(|kit| async move {
        let fake = Arc::new(Fake::default());
        let args = ReconcilerArgs { controller: Maker, backend: Arc::clone(&fake) as _ };
        let actor = kit.root().start::<Reconciler<Maker>>("maker", args, ChildSpec::default());
        actor.tell_or_wait(feed(&["bad", "a", "b", "c"])).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            made(&fake),
            [
                "create configmaps ns/made-a",
                "create configmaps ns/made-b",
                "create configmaps ns/made-c"
            ]
        );
        let seen = kit.kernel().inspect(actor.path()).await.unwrap().state;
        assert_eq!(seen["queue"]["failing"][0]["quarantined"], true, "{seen}");
    });
}

#[test]
fn a_refused_command_is_told_and_tried_again() {
    TestKit::run(|kit| async move {
        let fake = Arc::new(Fake::default());
        let what = "create configmaps ns/made-a".to_owned();
        fake.refusals.lock().unwrap().insert(what.clone(), Status::bad_request("not today"));
        let args = ReconcilerArgs { controller: Maker, backend: Arc::clone(&fake) as _ };
        let actor = kit.root().start::<Reconciler<Maker>>("maker", args, ChildSpec::default());
        actor.tell_or_wait(feed(&["a"])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(made(&fake).contains(&"Refused".to_owned()));
        fake.refusals.lock().unwrap().clear();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let attempts = made(&fake).iter().filter(|w| **w == what).count();
        assert!(attempts >= 3, "{attempts}");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(made(&fake).iter().filter(|w| **w == what).count(), attempts, "then it rests");
    });
}
