//! The built-in admission plugins, over HTTP on three members of the real binary: what they refuse,
//! in upstream's words, what they add, and quotas that hold whoever asks whichever member.

mod support;

#[path = "admission/classes.rs"]
mod classes;
#[path = "admission/door.rs"]
mod door;
#[path = "admission/limits.rs"]
mod limits;
#[path = "admission/quota.rs"]
mod quota;
#[path = "admission/security.rs"]
mod security;

use door::Door;
use support::{cluster::Cluster, host::Lab};

const NO_REGISTRY: &str = "";

/// One cluster for all of it: each part keeps to namespaces of its own.
#[test]
fn admission_over_http() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(66, &["m1", "m2", "m3"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    let door = Door::new(&cluster);
    limits::defaults_and_bounds(&door);
    quota::hold_under_racing_creates(&door);
    quota::are_freed_and_counted(&door);
    quota::charge_nothing_for_dry_runs(&door);
    quota::count_custom_resources(&door);
    security::refuses_and_warns(&door);
    classes::give_what_is_left_open(&door);
}
