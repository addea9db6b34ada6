//! Members: listed, led by another, lost and replaced, removed.

use std::time::Duration;

use super::{
    FOLLOWS, NO_REGISTRY, create, kabuki, leader, listed, member_list,
    support::{
        self,
        cluster::{Cluster, KABUKI},
        eventually,
        host::Lab,
        process::run,
    },
};

/// Waits until a member shows this many members, each with a name, all of them well but `unwell`.
fn wait_members(cluster: &Cluster, through: usize, count: usize, unwell: &[&str]) {
    eventually("the members are listed", FOLLOWS, || {
        let list = member_list(cluster, through)?;
        let fits = |m: &serde_json::Value| {
            m["name"].as_str().is_some_and(|name| {
                !name.is_empty() && m["healthy"].as_bool() == Some(!unwell.contains(&name))
            })
        };
        let good = list.len() == count && list.iter().all(fits);
        if good { Ok(()) } else { Err(format!("{list:?}")) }
    });
}

#[test]
fn a_lost_member_is_removed_and_replaced() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(61, &["m1", "m2", "m3"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    create(&cluster, 0, &["kept"]);
    wait_members(&cluster, 1, 3, &[]);
    let table = kabuki(&cluster, 2, &["member", "list"]).expect("list");
    assert!(table.starts_with("ID ") && table.contains("follower"), "{table}");

    kabuki(&cluster, 1, &["member", "transfer-leader", "m3"]).expect("transfer");
    assert_eq!(leader(&cluster), 2);
    let said = kabuki(&cluster, 1, &["member", "transfer-leader"]).expect("transfer to any");
    assert!(said.contains("leads"), "{said}");
    let error = kabuki(&cluster, 1, &["member", "remove", "nobody"]).expect_err("unknown");
    assert!(error.contains("kabuki member list"), "{error}");

    // m3 loses its disk.
    cluster.members[2].process.kill();
    std::fs::remove_dir_all(&cluster.members[2].data_dir).expect("wipe");
    wait_members(&cluster, 0, 3, &["m3"]);
    let error = kabuki(&cluster, 0, &["member", "remove", "m2"]).expect_err("quorum");
    assert!(error.contains("--force") && error.contains("remaining 2"), "{error}");

    let lost = cluster.members.pop().expect("m3");
    let token = cluster.token("server", &[]);
    let mut joining = lost.host.command("timeout");
    joining.args(["20", KABUKI, "server", "--join", &cluster.members[0].url()]);
    joining.args(["--token", &token, "--name=m3"]);
    joining.arg(format!("--bind-address={}", lost.host.address));
    joining.arg(format!("--data-dir={}", lost.data_dir.display()));
    let error = run(&mut joining).expect_err("the address is taken");
    assert!(error.contains("kabuki member remove"), "{error}");
    std::fs::remove_dir_all(&lost.data_dir).expect("wipe again");

    kabuki(&cluster, 0, &["member", "remove", &lost.host.address.to_string()]).expect("remove");
    cluster.join_member("m3", &[]);
    wait_members(&cluster, 2, 3, &[]);
    let (names, _) = listed(&cluster, 2).expect("list through the new member");
    assert!(names.contains(&"kept".to_string()), "{names:?}");
    a_removed_member_says_so(&mut cluster);
}

/// The leader is removed while it runs: it hands over, stops, and cannot come back as it is.
fn a_removed_member_says_so(cluster: &mut Cluster) {
    let leads = leader(cluster);
    let other = (leads + 1) % 3;
    let name = cluster.members[leads].host.name.clone();
    kabuki(cluster, other, &["member", "remove", &name]).expect("remove the leader");
    wait_members(cluster, other, 2, &[]);
    create(cluster, other, &["after-removal"]);
    let gone = &mut cluster.members[leads];
    eventually("the removed member stops", FOLLOWS, || match gone.process.is_running() {
        false => Ok(()),
        true => Err(gone.process.tail(5)),
    });
    let said = gone.process.tail(3);
    assert!(said.contains("was removed from its cluster"), "{said}");
    gone.restart();
    eventually("it does not come back", Duration::from_secs(10), || {
        match gone.process.is_running() {
            false => Ok(()),
            true => Err(gone.process.tail(5)),
        }
    });
    let said = gone.process.tail(1);
    assert!(said.contains("join again with a new token"), "{said}");
}
