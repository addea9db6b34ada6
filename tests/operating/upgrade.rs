//! From the previous release to this one, member by member, under load.

use super::{
    NO_REGISTRY, create, listed,
    rolling::{roll, version},
    support::{
        self,
        cluster::{Cluster, KABUKI},
        host::Lab,
    },
};

/// Path of a `kabuki` built from the previous release.
const PREVIOUS: &str = "KABUKI_PREVIOUS_BINARY";

#[test]
fn an_upgrade_member_by_member_keeps_the_data() {
    let Some(previous) = std::env::var(PREVIOUS).ok().filter(|p| !p.is_empty()) else {
        eprintln!("skipped: {PREVIOUS} names no binary of the previous release");
        return;
    };
    assert!(support::is_root(), "needs root for network namespaces");
    println!("from {} to {}", version(&previous).trim(), version(KABUKI).trim());
    let mut cluster = Cluster::new(Lab::new(63, &["m1", "m2", "m3", "c"]), NO_REGISTRY);
    cluster.program = previous.clone();
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    create(&cluster, 0, &["by-the-previous-release"]);
    let requests = super::rolling::upgrade(&mut cluster, KABUKI);
    println!("{requests} requests while upgrading");
    let requests = roll(&mut cluster, None);
    println!("{requests} requests after it, none failed");
    for member in 0..3 {
        let (names, _) = listed(&cluster, member).expect("list");
        assert!(names.contains(&"by-the-previous-release".to_string()), "{names:?}");
    }
    let list = super::member_list(&cluster, 1).expect("list");
    assert!(list.iter().all(|m| m["healthy"] == true && m["name"] != ""), "{list:?}");
}
