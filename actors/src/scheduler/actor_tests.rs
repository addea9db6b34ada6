//! The scheduler actor on virtual time, with hands of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use kabuki_api::{
    kind::{Kind, NODE, POD},
    status::Status,
};
use serde_json::{Value, json};

use super::{
    actor::Scheduler,
    hands::Hands,
    tests::{node, pod, requests},
};
use crate::{
    controllers::framework::{Change, Feed, Note},
    kernel::{ActorRef, ChildSpec, TestKit},
    registry::{MemView, Registry},
};

#[derive(Default)]
struct FakeHands {
    done: Mutex<Vec<String>>,
    refuse_once: Mutex<bool>,
    /// Answers that are lost: first that of a bind, then of settling.
    lost: Mutex<u32>,
}

impl FakeHands {
    fn loses(&self) -> bool {
        let mut lost = self.lost.lock().unwrap();
        let one = *lost > 0;
        *lost = lost.saturating_sub(1);
        one
    }
}

#[async_trait]
impl Hands for FakeHands {
    async fn bind(&self, _: &str, pod: &str, _: &str, node: &str) -> Result<(), Status> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if std::mem::take(&mut *self.refuse_once.lock().unwrap()) {
            return Err(Status::unavailable("no leader"));
        }
        self.done.lock().unwrap().push(format!("{pod} on {node}"));
        if self.loses() {
            return Err(Status::timeout("no answer", 1));
        }
        Ok(())
    }

    async fn unschedulable(&self, _: &str, pod: &str, _: &str, _: &str) -> Result<(), Status> {
        if self.loses() {
            return Err(Status::timeout("no answer", 1));
        }
        self.done.lock().unwrap().push(format!("{pod} nowhere"));
        Ok(())
    }

    async fn settle(&self) -> Result<(), Status> {
        if !self.done.lock().unwrap().is_empty() && self.loses() {
            return Err(Status::timeout("no answer", 1));
        }
        Ok(())
    }

    fn node_of(&self, _: &str, pod: &str, _: &str) -> Option<String> {
        let done = self.done.lock().unwrap();
        let bound = format!("{pod} on ");
        done.iter().find_map(|line| line.strip_prefix(&bound)).map(str::to_owned)
    }

    fn record(&self, note: Note) {
        self.done.lock().unwrap().push(note.reason.to_owned());
    }

    fn namespace_labels(&self, _: &str) -> Value {
        panic!("only asked for pods that look at namespaces");
    }

    fn source(&self) -> Option<&Registry> {
        None
    }
}

async fn feed(actor: &ActorRef<Scheduler>, kind: &'static Kind, values: Vec<Value>, gone: bool) {
    let change = |value| Change { object: MemView::new().put(kind, value), previous: None, gone };
    let changes = values.into_iter().map(change).collect();
    actor
        .tell_or_wait(Feed { kind, changes, state: false, begins: false, ends: false })
        .await
        .unwrap();
}

#[test]
fn the_actor_binds_waits_and_tries_again() {
    TestKit::run(|kit| async move {
        let hands = Arc::new(FakeHands::default());
        *hands.refuse_once.lock().unwrap() = true;
        let actor = kit.root().start::<Scheduler>(
            "scheduler",
            Arc::clone(&hands) as _,
            ChildSpec::default(),
        );
        feed(&actor, POD, vec![pod("a", requests("3"))], false).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(*hands.done.lock().unwrap(), ["FailedScheduling", "a nowhere"]);
        hands.done.lock().unwrap().clear();
        feed(&actor, NODE, vec![node("n", json!({}))], false).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(*hands.done.lock().unwrap(), ["a on n", "Scheduled"], "after one refusal");
        hands.done.lock().unwrap().clear();
        feed(&actor, POD, vec![pod("b", requests("3"))], false).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(*hands.done.lock().unwrap(), ["FailedScheduling", "b nowhere"], "a counts");
        hands.done.lock().unwrap().clear();
        feed(&actor, POD, vec![pod("a", json!({"spec": {"nodeName": "n"}}))], true).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(*hands.done.lock().unwrap(), ["b on n", "Scheduled"]);
    });
}

#[test]
fn gated_foreign_and_leaving_pods_are_left_alone() {
    TestKit::run(|kit| async move {
        let hands = Arc::new(FakeHands::default());
        let actor = kit.root().start::<Scheduler>(
            "scheduler",
            Arc::clone(&hands) as _,
            ChildSpec::default(),
        );
        feed(&actor, NODE, vec![node("n", json!({}))], false).await;
        let pods = vec![
            pod("gated", json!({"spec": {"schedulingGates": [{"name": "g"}]}})),
            pod("foreign", json!({"spec": {"schedulerName": "other"}})),
            pod("leaving", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
            pod("ended", json!({"status": {"phase": "Failed"}})),
        ];
        feed(&actor, POD, pods, false).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(hands.done.lock().unwrap().is_empty());
        feed(&actor, POD, vec![pod("gated", json!({}))], false).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*hands.done.lock().unwrap(), ["gated on n", "Scheduled"]);
    });
}

#[test]
fn a_bind_without_an_answer_keeps_its_room() {
    TestKit::run(|kit| async move {
        let hands = Arc::new(FakeHands::default());
        *hands.lost.lock().unwrap() = 2;
        let args = Arc::clone(&hands) as _;
        let actor = kit.root().start::<Scheduler>("scheduler", args, ChildSpec::default());
        feed(&actor, NODE, vec![node("n", json!({}))], false).await;
        // Both fit alone; the answer to the first bind is lost, and so is that to asking.
        feed(&actor, POD, vec![pod("a", requests("3"))], false).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        feed(&actor, POD, vec![pod("b", requests("3"))], false).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let done = hands.done.lock().unwrap().clone();
        assert_eq!(done, ["a on n", "Scheduled", "FailedScheduling", "b nowhere"]);
    });
}

#[test]
fn a_pod_that_fits_nowhere_is_told_so_although_the_store_was_away() {
    TestKit::run(|kit| async move {
        let hands = Arc::new(FakeHands::default());
        *hands.lost.lock().unwrap() = 1;
        let args = Arc::clone(&hands) as _;
        let actor = kit.root().start::<Scheduler>("scheduler", args, ChildSpec::default());
        feed(&actor, POD, vec![pod("a", json!({}))], false).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let done = hands.done.lock().unwrap().clone();
        assert_eq!(done, ["FailedScheduling", "FailedScheduling", "a nowhere"]);
    });
}

#[test]
fn a_pod_that_panics_its_decision_is_set_aside_and_told_so() {
    let near = json!({"spec": {"affinity": {"podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone",
            "labelSelector": {"matchLabels": {"app": "good"}},
            "namespaceSelector": {"matchLabels": {"team": "x"}}}]}}}});
    TestKit::run(|kit| async move {
        let hands = Arc::new(FakeHands::default());
        let args = Arc::clone(&hands) as _;
        let actor = kit.root().start::<Scheduler>("scheduler", args, ChildSpec::default());
        feed(&actor, NODE, vec![node("n", json!({}))], false).await;
        feed(&actor, POD, vec![pod("good", json!({}))], false).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        feed(&actor, POD, vec![pod("bad", near), pod("other", json!({}))], false).await;
        // Changes that would let it try again, were it only that it fits nowhere.
        for n in 0..20 {
            tokio::time::sleep(Duration::from_secs(12)).await;
            feed(&actor, NODE, vec![node(&format!("n{n}"), json!({}))], false).await;
        }
        let done = hands.done.lock().unwrap().clone();
        assert_eq!(done.iter().filter(|line| *line == "SetAside").count(), 1, "{done:?}");
        assert!(done.iter().any(|line| line.starts_with("other on ")), "{done:?}");
        let seen = kit.kernel().inspect(actor.path()).await.unwrap().state;
        assert_eq!(seen["queue"]["parked"][0]["setAside"], true, "{seen}");
        assert_eq!(kit.kernel().show(actor.path()).unwrap().restarts, 0);
    });
}
