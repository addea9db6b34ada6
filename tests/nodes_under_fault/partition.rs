//! A node that is cut off from the control plane.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    setting,
    stage::{NewPod, STEP, Stage, condition, container, name, restarts, states},
    support::eventually,
};

/// How long a pod stays on a node that is not ready, in seconds.
const TOLERATION: u64 = 3;
/// How long a member waits for a node before it counts as gone (`--node-monitor-grace-period`).
const GRACE: Duration = Duration::from_secs(3);

fn deployment(replicas: u32) -> Value {
    let pod = NewPod {
        toleration: TOLERATION,
        ..NewPod::new("", "Always", "echo up; exec sleep 100000")
    };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod.spec()}},
    })
}

fn ready_on(stage: &Stage, node: &str) -> Result<Vec<Value>, String> {
    let pods = stage.pods()?;
    Ok(pods
        .into_iter()
        .filter(|p| p["spec"]["nodeName"] == node && condition(p, "Ready"))
        .collect())
}

fn runs(pods: &[Value]) -> Vec<String> {
    let mut all: Vec<String> = pods
        .iter()
        .map(|p| format!("{} {} {}", name(p), container(p)["containerID"], restarts(p)))
        .collect();
    all.sort();
    all
}

/// Cut off for longer than the grace period, but shorter than pods tolerate: nothing is restarted.
pub fn shorter_than_the_toleration(stage: &Stage) {
    stage.create("/apis/apps/v1/namespaces/default/deployments", &deployment(4));
    eventually("both nodes have pods", STEP, || {
        let count = ready_on(stage, "n1")?.len() + ready_on(stage, "n2")?.len();
        let both = !ready_on(stage, "n1")?.is_empty() && !ready_on(stage, "n2")?.is_empty();
        if count == 4 && both { Ok(()) } else { Err(states(&stage.pods()?)) }
    });
    let before = runs(&stage.pods().expect("pods"));
    stage.node(0).host.unplug();
    eventually("the node counts as gone", STEP, || {
        let node = stage.get("/api/v1/nodes/n1")?;
        if condition(&node, "Ready") {
            Err(node["status"]["conditions"].to_string())
        } else {
            Ok(())
        }
    });
    stage.node(0).host.plug();
    let took = stage.wait_ready("n1");
    println!("cut off for some {GRACE:?}: Ready {took:?} after healing");
    // What the return would restart or evict would show by now.
    std::thread::sleep(Duration::from_secs(TOLERATION + 1));
    assert_eq!(before, runs(&stage.pods().expect("pods")));
}

/// Cut off for longer: the pods run elsewhere, and the old ones are ended when the node is back.
pub fn longer_than_the_toleration(stage: &Stage) {
    let old = ready_on(stage, "n1").expect("pods");
    assert!(!old.is_empty());
    stage.node(0).host.unplug();
    eventually("all run on the other node", STEP, || {
        let now = ready_on(stage, "n2")?;
        if now.len() == 4 { Ok(()) } else { Err(states(&stage.pods()?)) }
    });
    let moved = runs(&ready_on(stage, "n2").expect("pods"));
    let alive = processes(stage);
    assert!(alive > 0, "the node ended its pods although nobody told it to");
    stage.node(0).host.plug();
    let took = stage.wait_ready("n1");
    println!("cut off until its pods were elsewhere: Ready {took:?} after healing");
    eventually("the old pods are gone", STEP, || {
        let pods = stage.pods()?;
        let left = pods.iter().filter(|p| p["spec"]["nodeName"] == "n1").count();
        if left == 0 && processes(stage) == 0 { Ok(()) } else { Err(states(&pods)) }
    });
    assert_eq!(moved, runs(&stage.pods().expect("pods")));
}

/// `KABUKI_NODE_FAULT_PARTITION` seconds, for the promise in SPECIFICATION.md.
pub fn as_long_as_asked_for(stage: &Stage) {
    let seconds = setting("KABUKI_NODE_FAULT_PARTITION", 0);
    if seconds == 0 {
        return;
    }
    stage.node(0).host.unplug();
    std::thread::sleep(Duration::from_secs(seconds));
    let begin = Instant::now();
    stage.node(0).host.plug();
    stage.wait_ready("n1");
    println!("cut off for {seconds} s: Ready {:?} after healing", begin.elapsed());
}

/// How many pods have a run directory on the first node.
fn processes(stage: &Stage) -> usize {
    std::fs::read_dir(stage.run_dir(0).join("pods")).into_iter().flatten().count()
}
