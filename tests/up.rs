//! What a cluster of one process (`kabuki up`) does with real containers: kubectl's verbs, a node's
//! features, and every actor of the process made to panic.

#[path = "up/drill.rs"]
mod drill;
#[path = "up/kubectl.rs"]
mod kubectl;
#[path = "up/lives.rs"]
mod lives;
#[path = "up/pods.rs"]
mod pods;
#[path = "up/stage.rs"]
mod stage;
mod support;

use stage::Stage;

fn may_run() -> bool {
    let root = support::is_root();
    if !root {
        eprintln!("skipped: needs root for namespaces, mounts and cgroups");
    }
    root
}

/// Oldest and newest kubectl side by side, each in its own namespace.
#[test]
fn kubectl_works_on_running_pods() {
    if !may_run() {
        return;
    }
    let stage = Stage::up(41);
    let programs = support::kubectl::installed();
    std::thread::scope(|scope| {
        for (number, program) in programs.iter().enumerate() {
            let stage = &stage;
            scope.spawn(move || kubectl::everything(stage, program, &format!("t{number}")));
        }
    });
    kubectl::curl_takes_yaml(&stage);
    stage.assert_no_errors();
}

/// Pods start together: their waits overlap.
#[test]
fn a_node_keeps_what_pods_ask_for() {
    if !may_run() {
        return;
    }
    let mut stage = Stage::up(42);
    let dir = stage.cluster.dir.path().join("shared");
    std::fs::create_dir_all(dir.join("www")).expect("directory");
    pods::create(&stage, &dir);
    lives::create(&stage, &dir);
    pods::environment(&stage);
    pods::volumes(&stage, &dir);
    pods::token(&stage);
    pods::memory(&stage);
    lives::init_containers(&stage);
    lives::probes(&stage, &dir);
    lives::missing_image(&stage);
    lives::restarts(&stage);
    lives::ends(&stage);
    lives::outlive_the_daemon(&mut stage);
    stage.assert_no_errors();
}

/// Every actor there is panics once; the cluster still does its job.
#[test]
fn every_actor_may_panic() {
    if !may_run() {
        return;
    }
    let mut stage = Stage::up(43);
    drill::panic_all(&stage);
    drill::serves_afterwards(&stage);
    drill::commands(&stage);
    drill::storm(&mut stage);
}
