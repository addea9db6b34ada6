//! A cluster saved, destroyed, and restored into a new one.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use super::{
    FOLLOWS, NO_REGISTRY, create, kabuki, listed, member_list,
    support::{
        self,
        cluster::{Cluster, KABUKI},
        eventually,
        host::Lab,
        process::run,
    },
};

/// Answers a GET as text, through a member.
fn raw(cluster: &Cluster, member: usize, path: &str) -> Result<String, String> {
    let config = cluster.kube_config(member);
    let path = path.to_string();
    cluster.members[member].host.block_on(async move {
        let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
        let request = http::Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
        client.request_text(request).await.map_err(|e| e.to_string())
    })
}

/// `resourceVersion` of the node's lease, which its heartbeat renews.
fn heartbeat(cluster: &Cluster) -> Result<u64, String> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1";
    let lease: Value = serde_json::from_str(&raw(cluster, 0, path)?).map_err(|e| e.to_string())?;
    let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    version.parse().map_err(|_| lease.to_string())
}

fn wait_ready(cluster: &Cluster) {
    eventually("the node is ready", Duration::from_secs(30), || {
        let text = raw(cluster, 0, "/api/v1/nodes/n1")?;
        let node: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if ready { Ok(()) } else { Err(format!("{conditions:?}")) }
    });
}

#[test]
fn a_cluster_is_restored_from_a_snapshot() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(64, &["m1", "m2", "m3", "n1"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    cluster.join_node("n1");
    wait_ready(&cluster);
    create(&cluster, 0, &["saved-1", "saved-2"]);
    let file = cluster.dir.path().join("cluster.snap");
    let file = file.to_str().expect("path");
    // Another member than the one that was written through: what was acknowledged is in it.
    let said = kabuki(&cluster, 1, &["snapshot", "save", file]).expect("save");
    assert!(said.contains("keys and Secrets"), "{said}");
    let error = kabuki(&cluster, 1, &["snapshot", "save", file]).expect_err("it exists");
    assert!(error.contains("--force"), "{error}");
    kabuki(&cluster, 2, &["snapshot", "save", "--force", file]).expect("replace");
    let (_, then) = listed(&cluster, 0).expect("list");
    create(&cluster, 0, &["lost-1", "lost-2"]);
    let newest = (0..3).map(|m| listed(&cluster, m).expect("list").1).max().expect("three");
    check_status(file, then);

    let (old_kubeconfig, old_m3) = destroy(&mut cluster);
    restore(&mut cluster, file);
    restored_is_right(&cluster, then, newest);

    // A client of the old cluster is a client of the new one, and so is the node.
    std::fs::copy(old_kubeconfig, cluster.members[0].data_dir.join("admin.kubeconfig"))
        .expect("copy");
    wait_ready(&cluster);
    // The lease may be younger than the snapshot: then the node writes it anew.
    let mut before = None;
    eventually("the node has its lease", FOLLOWS, || {
        before = Some(heartbeat(&cluster)?);
        Ok(())
    });
    eventually("the node's heart beats", FOLLOWS, || match Some(heartbeat(&cluster)?) {
        now if now > before => Ok(()),
        now => Err(format!("{now:?}")),
    });
    a_member_of_the_old_cluster_stays_outside(&mut cluster, &old_m3);

    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    create(&cluster, 2, &["after"]);
    let list = member_list(&cluster, 1).expect("list");
    assert_eq!(list.len(), 3, "{list:?}");
    for member in 0..3 {
        let (names, _) = listed(&cluster, member).expect("list");
        let there = ["saved-1", "saved-2", "after"].iter().all(|n| names.contains(&n.to_string()));
        assert!(there && !names.contains(&"lost-1".to_string()), "{member}: {names:?}");
    }
}

fn check_status(file: &str, revision: u64) {
    let status = |file: &str| run(Command::new(KABUKI).args(["snapshot", "status", file]));
    let said = status(file).expect("status");
    assert!(said.contains("checksum  holds"), "{said}");
    let json = run(Command::new(KABUKI).args(["snapshot", "status", "-o", "json", file]));
    let json: Value = serde_json::from_str(&json.expect("status")).expect("JSON");
    assert!(json["revision"].as_u64().expect("revision") <= revision, "{json}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(file).expect("file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let mut bytes = std::fs::read(file).expect("file");
    let broken = format!("{file}.broken");
    std::fs::write(&broken, &bytes[..bytes.len() - 100]).expect("write");
    let error = status(&broken).expect_err("truncated");
    assert!(error.contains("truncated"), "{error}");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&broken, &bytes).expect("write");
    let error = status(&broken).expect_err("flipped");
    assert!(error.contains("damaged"), "{error}");
    let target = format!("{file}.dir");
    let mut restore = Command::new(KABUKI);
    restore.args(["snapshot", "restore", &broken, "--name=m1", "--data-dir", &target]);
    let error = run(&mut restore).expect_err("damaged");
    assert!(error.contains("damaged") && !Path::new(&target).is_dir(), "{error}");
}

/// Kills every member and takes their disks; keeps the kubeconfig and the third member's directory.
fn destroy(cluster: &mut Cluster) -> (std::path::PathBuf, std::path::PathBuf) {
    for member in &mut cluster.members {
        member.process.kill();
    }
    let kubeconfig = cluster.dir.path().join("old.kubeconfig");
    let old_m3 = cluster.dir.path().join("old-m3");
    let dirs: Vec<_> = cluster.members.iter().map(|m| m.data_dir.clone()).collect();
    std::fs::copy(dirs[0].join("admin.kubeconfig"), &kubeconfig).expect("copy");
    std::fs::rename(&dirs[2], &old_m3).expect("rename");
    for dir in &dirs[..2] {
        std::fs::remove_dir_all(dir).expect("wipe");
    }
    cluster.members.truncate(1);
    (kubeconfig, old_m3)
}

fn restore(cluster: &mut Cluster, file: &str) {
    let first = &mut cluster.members[0];
    let mut command = Command::new(KABUKI);
    command.args(["snapshot", "restore", file, "--name=m1"]);
    command.arg(format!("--data-dir={}", first.data_dir.display()));
    let said = run(&mut command).expect("restore");
    assert!(said.contains("kabuki server --init"), "{said}");
    let error = run(&mut command).expect_err("the directory is in use");
    assert!(error.contains("not empty"), "{error}");
    first.restart();
    first.wait_ready();
}

/// What was saved is there, what came later is not, and the clock is past all it ever said.
fn restored_is_right(cluster: &Cluster, then: u64, newest: u64) {
    let (names, version) = listed(cluster, 0).expect("list");
    let has = |name: &str| names.contains(&name.to_string());
    assert!(has("saved-1") && has("saved-2") && !has("lost-1") && !has("lost-2"), "{names:?}");
    assert!(version > newest, "{version} is not after {newest}");
    let path = "/api/v1/namespaces/default/configmaps";
    let one: Value =
        serde_json::from_str(&raw(cluster, 0, &format!("{path}/saved-1")).expect("get"))
            .expect("JSON");
    let own: u64 =
        one["metadata"]["resourceVersion"].as_str().expect("text").parse().expect("number");
    assert!(own > newest, "the object's {own} is not after {newest}");
    for old in [then, newest] {
        let watch = format!("{path}?watch=1&timeoutSeconds=5&resourceVersion={old}");
        let said = raw(cluster, 0, &watch).unwrap_or_else(|e| e);
        assert!(said.contains("410") || said.contains("too old"), "watch from {old}: {said}");
    }
}

/// It starts, finds nobody it knows, and changes nothing.
fn a_member_of_the_old_cluster_stays_outside(cluster: &mut Cluster, dir: &Path) {
    let host = cluster.lab.host("m3").clone();
    let mut command = host.command("timeout");
    command.args(["2", KABUKI, "server", "--join", &cluster.members[0].url(), "--name=m3"]);
    command.arg(format!("--bind-address={}", host.address));
    command.arg(format!("--data-dir={}", dir.display()));
    let said = run(&mut command).expect_err("it finds no quorum");
    assert!(said.contains("no leader yet") || said.contains("peer is unreachable"), "{said}");
    assert_eq!(member_list(cluster, 0).expect("list").len(), 1);
}
