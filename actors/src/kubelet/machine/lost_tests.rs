//! Pods whose sandbox went: with its shim, with a reboot, or under a start.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{
    tests::{Stage, at, one},
    *,
};

/// Containers as the API has them: `states` are container statuses.
fn known(policy: &str, inits: Value, states: Value) -> Arc<Pod> {
    let init_specs: Vec<Value> = inits
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| json!({"name": s["name"], "image": "x"}))
        .collect();
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"restartPolicy": policy, "initContainers": init_specs,
            "containers": [{"name": "a", "image": "x"}]},
        "status": {"phase": "Running", "startTime": "2001-01-01T00:00:00Z",
            "initContainerStatuses": inits, "containerStatuses": states}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn container(name: &str, restarts: i32, state: Value, last: Value) -> Value {
    json!({"name": name, "containerID": "kabuki://id7", "restartCount": restarts, "ready": true,
        "image": "x", "imageID": "sha", "state": state, "lastState": last})
}

fn running() -> Value {
    json!({"running": {"startedAt": "2001-01-01T00:00:01Z"}})
}

fn terminated(id: &str, code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "containerID": format!("kabuki://{id}"),
        "reason": "Error", "finishedAt": "2001-01-01T00:00:02Z"}})
}

fn revived(pod: Arc<Pod>) -> Stage {
    let mut stage = Stage::new(one("Always"));
    stage.machine = Machine::revive(pod, at(0));
    stage
}

#[test]
fn after_a_reboot_containers_start_again_and_count_it() {
    let mut stage =
        revived(known("Always", json!([]), json!([container("a", 3, running(), json!({}))])));
    let Run::Ended(ended) = &stage.machine.container("a").unwrap().run else { panic!("not ended") };
    assert_eq!(
        (ended.id.as_str(), ended.exit_code, ended.reason.as_str()),
        ("id7", 255, "Unknown")
    );
    assert_eq!(ended.started_at.unwrap().to_string(), "2001-01-01T00:00:01Z");
    assert_eq!(stage.machine.started_at.to_string(), "2001-01-01T00:00:00Z");
    assert_eq!(stage.decide(), ["sandbox", "volumes", "image a"]);
    stage.prepare();
    stage.start("a");
    let container = stage.machine.container("a").unwrap();
    assert_eq!(container.restarts(), 4);
    assert_eq!(container.last.as_ref().unwrap().exit_code, 255);
}

#[test]
fn after_a_reboot_a_pod_that_must_not_restart_has_failed() {
    let mut stage =
        revived(known("Never", json!([]), json!([container("a", 0, running(), json!({}))])));
    assert_eq!(stage.decide(), [""; 0]);
    assert!(stage.machine.verdict.as_ref().is_some_and(|v| !v.succeeded));
}

#[test]
fn after_a_reboot_what_had_ended_keeps_its_end() {
    let ended = container("a", 1, terminated("id7", 0), terminated("id6", 3));
    let mut stage = revived(known("OnFailure", json!([]), json!([ended])));
    assert_eq!(stage.decide(), [""; 0]);
    assert!(stage.machine.verdict.as_ref().is_some_and(|v| v.succeeded));
    let container = stage.machine.container("a").unwrap();
    assert_eq!((container.restarts(), container.last.as_ref().unwrap().exit_code), (1, 3));
}

#[test]
fn after_a_reboot_a_crash_loop_counts_on() {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let looping = container("a", 4, waiting, terminated("id7", 3));
    let mut stage = revived(known("Always", json!([]), json!([looping])));
    stage.decide();
    stage.prepare();
    stage.start("a");
    let container = stage.machine.container("a").unwrap();
    assert_eq!((container.restarts(), container.last.as_ref().unwrap().exit_code), (5, 3));
}

#[test]
fn a_new_sandbox_runs_init_containers_again() {
    let done = container("i", 0, terminated("id1", 0), json!({}));
    let pod = known("Always", json!([done]), json!([container("a", 0, running(), json!({}))]));
    let mut stage = revived(pod);
    assert_eq!(stage.decide(), ["sandbox", "volumes", "image i"]);
    stage.prepare();
    let id = stage.start("i");
    assert_eq!(stage.decide(), [""; 0], "the others wait");
    stage.machine.apply(
        Outcome::Exited(Finished {
            id,
            container: "i".to_owned(),
            attempt: 1,
            started_at: None,
            finished_at: at(1),
            exit_code: 0,
            reason: "Completed".to_owned(),
            message: None,
        }),
        at(1),
    );
    assert_eq!(stage.decide(), ["image a"]);
}

#[test]
fn a_start_under_which_the_shim_went_has_ended() {
    let mut stage = Stage::new(one("Always"));
    stage.decide();
    stage.prepare();
    stage.image("a");
    assert_eq!(stage.decide(), ["start a"]);
    stage.apply(Outcome::SandboxLost);
    // The start had come through just before the shim went; its word comes after.
    stage.running("a");
    let Run::Ended(ended) = &stage.machine.container("a").unwrap().run else { panic!("runs") };
    assert_eq!((ended.exit_code, ended.message.as_deref()), (137, Some(LOST_MESSAGE)));
}

#[test]
fn a_late_word_of_a_lost_sandbox_does_not_harm_the_next() {
    let mut stage = Stage::new(one("Always"));
    stage.decide();
    stage.prepare();
    stage.start("a");
    stage.apply(Outcome::SandboxLost);
    assert_eq!(stage.decide(), ["sandbox", "image a"]);
    stage.apply(Outcome::SandboxLost);
    stage.apply(Outcome::SandboxReady(vec!["10.244.0.3".to_owned()]));
    assert_eq!(stage.machine.sandbox, Step::Done);
}

#[test]
fn a_sandbox_without_containers_gets_its_volumes() {
    let pod = known("Always", json!([]), json!([]));
    let mut machine = Machine::adopt(pod, vec!["1".to_owned()], Vec::new(), at(0));
    machine.discard(vec!["made-not-started".to_owned()]);
    let actions = machine.decide(at(1)).actions;
    assert!(actions.contains(&Action::PrepareVolumes), "{actions:?}");
    assert!(actions.contains(&Action::Remove { id: "made-not-started".to_owned() }), "{actions:?}");
    assert!(!actions.contains(&Action::CreateSandbox), "{actions:?}");
}
