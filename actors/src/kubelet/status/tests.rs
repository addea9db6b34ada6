//! Statuses as upstream writes them, from states of the machine.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::kubelet::machine::{Finished, Hook, Kind, Outcome, Run, Running, Step, Trouble};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn machine(spec: Value) -> Machine {
    let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 2},
        "spec": spec});
    Machine::new(Arc::new(serde_json::from_value(pod).unwrap()), at(0))
}

fn up(machine: &mut Machine, name: &str) {
    let running = Running {
        id: format!("id-{name}"),
        attempt: 0,
        started_at: at(1),
        spec_image: "x".to_owned(),
        image: "docker.io/library/x:latest".to_owned(),
        image_id: "sha256:1".to_owned(),
        hook: Hook::Done,
        stop: None,
    };
    machine.apply(Outcome::Started { container: name.to_owned(), running }, at(1));
}

fn down(machine: &mut Machine, name: &str, code: i32) {
    let finished = Finished {
        id: format!("id-{name}"),
        container: name.to_owned(),
        attempt: 0,
        started_at: Some(at(1)),
        finished_at: at(2),
        exit_code: code,
        reason: if code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: None,
    };
    machine.apply(Outcome::Exited(finished), at(2));
}

fn show(machine: &Machine) -> Value {
    let status = compute(machine, &["192.168.0.1".to_owned()], &[], at(9));
    serde_json::to_value(status).unwrap()
}

/// Conditions as `type=status reason`.
fn conditions(status: &Value) -> Vec<String> {
    let list = status["conditions"].as_array().unwrap();
    let text = |c: &Value, key: &str| c[key].as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|c| format!("{}={} {}", text(c, "type"), text(c, "status"), text(c, "reason")))
        .map(|s| s.trim_end().to_owned())
        .collect()
}

#[test]
fn a_new_pod_is_pending() {
    let status = show(&machine(json!({"containers": [{"name": "a", "image": "x"}]})));
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["observedGeneration"], 2);
    assert_eq!(status["hostIP"], "192.168.0.1");
    assert_eq!(status.get("podIP"), None);
    assert_eq!(status["containerStatuses"][0]["image"], "x");
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(status["containerStatuses"][0]["state"], waiting);
    assert_eq!(
        conditions(&status),
        [
            "PodReadyToStartContainers=False",
            "Initialized=True",
            "Ready=False ContainersNotReady",
            "ContainersReady=False ContainersNotReady",
        ]
    );
    assert_eq!(status["conditions"][2]["message"], "containers with unready status: [a]");
}

#[test]
fn a_running_pod() {
    let mut machine = machine(json!({"containers": [{"name": "a", "image": "x"}]}));
    machine.sandbox = Step::Done;
    machine.ips = vec!["10.244.0.7".to_owned()];
    up(&mut machine, "a");
    let status = show(&machine);
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], "10.244.0.7");
    assert_eq!(status["podIPs"], json!([{"ip": "10.244.0.7"}]));
    let container = &status["containerStatuses"][0];
    assert_eq!(container["containerID"], "kabuki://id-a");
    assert_eq!(container["image"], "docker.io/library/x:latest");
    assert_eq!((&container["ready"], &container["started"]), (&json!(true), &json!(true)));
    assert_eq!(container["restartCount"], 0);
    let all = [
        "PodReadyToStartContainers=True",
        "Initialized=True",
        "Ready=True",
        "ContainersReady=True",
    ];
    assert_eq!(conditions(&status), all);
}

#[test]
fn phases() {
    let two = |policy: &str| {
        machine(json!({"restartPolicy": policy,
            "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}))
    };
    let table = [
        ("Always", None, Some(1), "Running"),
        ("Always", Some(0), Some(0), "Running"),
        ("OnFailure", Some(0), Some(1), "Running"),
        ("OnFailure", Some(0), Some(0), "Succeeded"),
        ("Never", Some(0), Some(0), "Succeeded"),
        ("Never", Some(0), Some(3), "Failed"),
        ("Never", None, Some(3), "Running"),
    ];
    for (policy, a, b, expected) in table {
        let mut machine = two(policy);
        for (name, code) in [("a", a), ("b", b)] {
            up(&mut machine, name);
            if let Some(code) = code {
                down(&mut machine, name, code);
            }
        }
        assert_eq!(show(&machine)["phase"], expected, "{policy} {a:?} {b:?}");
    }
}

#[test]
fn a_finished_pod_says_so() {
    let mut machine =
        machine(json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}));
    machine.sandbox = Step::Done;
    up(&mut machine, "a");
    down(&mut machine, "a", 0);
    machine.decide(at(3));
    let status = show(&machine);
    assert_eq!(status["phase"], "Succeeded");
    assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(
        conditions(&status),
        [
            "PodReadyToStartContainers=False",
            "Initialized=True PodCompleted",
            "Ready=False PodCompleted",
            "ContainersReady=False PodCompleted",
        ]
    );
}

#[test]
fn a_crash_loop_waits_with_its_last_state() {
    let mut machine = machine(json!({"containers": [{"name": "a", "image": "x"}]}));
    up(&mut machine, "a");
    down(&mut machine, "a", 1);
    let container = machine.containers.first_mut().unwrap();
    assert_eq!(container.kind, Kind::Main);
    assert!(matches!(container.run, Run::Ended(_)));
    container.trouble = Some(Trouble::new("CrashLoopBackOff", "back-off 10s"));
    let status = show(&machine);
    let shown = &status["containerStatuses"][0];
    assert_eq!(shown["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(shown["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(status["phase"], "Running");
}

#[test]
fn init_containers_hold_the_others_back() {
    let mut machine = machine(json!({"initContainers": [{"name": "i", "image": "x"}],
        "containers": [{"name": "a", "image": "x"}]}));
    let status = show(&machine);
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(conditions(&status)[1], "Initialized=False ContainersNotInitialized");
    assert_eq!(status["conditions"][1]["message"], "containers with incomplete status: [i]");
    up(&mut machine, "i");
    down(&mut machine, "i", 0);
    let status = show(&machine);
    assert_eq!(conditions(&status)[1], "Initialized=True");
    assert_eq!(status["initContainerStatuses"][0]["ready"], true);
}

#[test]
fn a_refused_pod_has_a_reason_and_nothing_else() {
    let mut machine = machine(json!({"containers": [{"name": "a", "image": "x"}]}));
    machine.reject("OutOfcpu", "too much");
    let status = show(&machine);
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert_eq!(status.get("containerStatuses"), None);
}

#[test]
fn readiness_gates_and_foreign_conditions() {
    let mut machine = machine(json!({"readinessGates": [{"conditionType": "x/y"}],
        "containers": [{"name": "a", "image": "x"}]}));
    up(&mut machine, "a");
    let gate = |status: &str| {
        serde_json::from_value::<PodCondition>(json!({"type": "x/y", "status": status})).unwrap()
    };
    let ready = |known: &[PodCondition]| {
        let status = compute(&machine, &[], known, at(9));
        let list = status.conditions.unwrap();
        let ready = list.iter().find(|c| c.type_ == "Ready").unwrap().status.clone();
        (ready, list.iter().any(|c| c.type_ == "x/y"))
    };
    assert_eq!(ready(&[]), ("False".to_owned(), false));
    assert_eq!(ready(&[gate("False")]), ("False".to_owned(), true));
    assert_eq!(ready(&[gate("True")]), ("True".to_owned(), true));
}
