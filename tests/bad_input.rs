//! Bad input through every door of the real binary. A table per door: what is sent, and the exact
//! answer a Kubernetes user would get. Afterwards the cluster must be as it was.

#[path = "bad_input/api/mod.rs"]
mod api;
#[path = "bad_input/case.rs"]
mod case;
#[path = "bad_input/cli.rs"]
mod cli;
#[path = "bad_input/disk.rs"]
mod disk;
#[path = "bad_input/http.rs"]
mod http_shapes;
#[path = "bad_input/peers.rs"]
mod peers;
#[path = "bad_input/registry.rs"]
mod registry;
mod support;
#[path = "bad_input/tokens.rs"]
mod tokens;
#[path = "bad_input/unharmed.rs"]
mod unharmed;

use case::{Door, Report};
use support::{cluster::Cluster, host::Lab};
use unharmed::Before;

/// Fewest cases the table must have: a door that is skipped by mistake is noticed.
const CASES_MIN: usize = 370;

#[test]
fn no_bad_input_harms_the_cluster() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(61, &["u", "x"]), "");
    cluster.up("u");
    let door = Door::new(&cluster);
    let before = Before::look(&door);
    let mut report = Report::default();
    // They take their time beside everything else.
    let slow = http_shapes::slow_clients(&door);
    api::run(&door, &mut report);
    http_shapes::run(&door, &mut report);
    tokens::run(&door, &mut report);
    registry::run(&door, &mut report);
    disk::run(&door, &mut report);
    peers::run(&door, &mut report);
    cli::run(&door, &mut report);
    report.check("slow clients are let go", &slow.join().expect("slow clients"), "0 left");
    let harm = before.harm(&door);
    println!("{} cases, {} wrong answers", report.cases(), report.wrong().len());
    assert!(report.wrong().is_empty(), "wrong answers:\n{}", report.wrong().join("\n"));
    assert!(harm.is_empty(), "the cluster was harmed:\n{}", harm.join("\n"));
    assert!(report.cases() >= CASES_MIN, "only {} cases were tried", report.cases());
}
