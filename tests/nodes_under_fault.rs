//! Nodes on a bad day: their processes are killed at random while pods come and go, the network is
//! cut, the machine is rebooted, a pull is interrupted, disks are full. Afterwards every pod is in
//! exactly the state it should be in, and nothing is left of those that went.
//!
//! `KABUKI_NODE_FAULT_PODS` (200) says how many pods come and go, `KABUKI_NODE_FAULT_SEED` with which
//! seed, `KABUKI_NODE_FAULT_PARTITION` (seconds) adds one long partition.

#[path = "nodes_under_fault/chaos.rs"]
mod chaos;
#[path = "nodes_under_fault/disks.rs"]
mod disks;
#[path = "nodes_under_fault/leftovers.rs"]
mod leftovers;
#[path = "nodes_under_fault/partition.rs"]
mod partition;
#[path = "nodes_under_fault/pulls.rs"]
mod pulls;
#[path = "nodes_under_fault/reboot.rs"]
mod reboot;
#[path = "nodes_under_fault/stage.rs"]
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

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Daemons, shims, helpers and containers are killed while pods come and go.
#[test]
fn killed_processes_cost_nothing_but_a_restart() {
    if !may_run() {
        return;
    }
    let mut stage = Stage::start(51, &["n1", "n2"], &[]);
    stage.load_busybox(0);
    stage.load_busybox(1);
    chaos::run(&mut stage);
    leftovers::none(&stage);
}

/// Everything else that befalls a node, on one cluster.
#[test]
fn nodes_come_back() {
    if !may_run() {
        return;
    }
    let short = ["--node-monitor-grace-period=3"];
    let mut stage = Stage::start(52, &["n1", "n2"], &short);
    stage.load_busybox(0);
    stage.load_busybox(1);
    partition::shorter_than_the_toleration(&stage);
    partition::longer_than_the_toleration(&stage);
    partition::as_long_as_asked_for(&stage);
    reboot::reboot(&mut stage);
    pulls::daemon_killed_while_pulling(&mut stage);
    stage.delete_all();
    leftovers::none(&stage);
}

/// File systems without room, below images and below logs.
#[test]
fn full_disks_are_survived() {
    if !may_run() {
        return;
    }
    let disks = disks::Disks::new(53);
    disks::images_do_not_fit(&disks);
    disks::logs_do_not_fit(&disks);
}
