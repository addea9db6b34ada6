//! Every actor of a running cluster panics in turn, some twice in a row, while objects and pods come
//! and go; then one is flooded. Nothing is lost, nothing grows, every restart can be seen.

#[path = "actors_under_fault/api.rs"]
mod api;
#[path = "actors_under_fault/cast.rs"]
mod cast;
#[path = "actors_under_fault/load.rs"]
mod load;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use api::Api;
use support::{cluster::Cluster, host::Lab};

#[test]
fn every_actor_of_a_cluster_may_panic_under_load() {
    if !support::is_root() {
        eprintln!("skipped: needs root for namespaces, mounts and cgroups");
        return;
    }
    let cluster = start();
    let api = Api::new(&cluster);
    api.begin();
    let before = api.footprints();
    let containers = api.containers();
    let stop = AtomicBool::new(false);
    let ledger = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::run(&api, &stop));
        // Also when the drill fails: the scope waits for the load.
        let drill = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cast::panic_all(&api);
            cast::slow_down(&api);
            cast::flood(&api);
        }));
        stop.store(true, Ordering::Relaxed);
        let ledger = load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drill.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger
    });
    println!("{ledger}");
    ledger.verify(&api);
    cast::rests(&api);
    assert_eq!(api.containers(), containers, "containers were restarted or replaced");
    api.assert_small(&before);
}

/// Three members and two nodes with the images on them.
fn start() -> Cluster {
    let lab = Lab::new(71, &["m1", "m2", "m3", "n1", "n2"]);
    let mut cluster = Cluster::new(lab, "127.0.0.1:1");
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    cluster.join_node("n1");
    cluster.join_node("n2");
    cluster
}
