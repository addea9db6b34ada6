//! Starting, joining and stopping, with the real binary: refused tokens say why, and members start
//! again in any order after a full stop.

mod support;

use std::{process::Command, time::Duration};

use support::{
    cluster::{Cluster, KABUKI},
    eventually,
    host::Lab,
    process::run,
};

/// A registry nobody asks.
const NO_REGISTRY: &str = "127.0.0.1:1";

/// Runs `kabuki node --join` on `host` until it gives up, and returns what it said.
fn refused(cluster: &Cluster, host: &str, role: &str, token: &str) -> String {
    let dir = tempfile::tempdir().expect("directory");
    let url = cluster.members[0].url();
    let mut command = cluster.lab.host(host).command("timeout");
    command.args(["20", KABUKI, role, "--join", &url, "--token", token, "--name", "stranger"]);
    command.arg(format!("--data-dir={}", dir.path().display()));
    run(&mut command).expect_err("the token must be refused")
}

fn kabuki(cluster: &Cluster, args: &[&str]) -> Result<String, String> {
    let member = &cluster.members[0];
    let mut command = member.host.command(KABUKI);
    command.args(args).arg(format!("--data-dir={}", member.data_dir.display()));
    run(&mut command)
}

#[test]
fn refused_tokens_say_why() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(22, &["m1", "n1", "x"]), NO_REGISTRY);
    cluster.init("m1", &[]);

    let good = cluster.token("node", &[]);
    let mut wrong = good.clone();
    let last = if wrong.ends_with('a') { 'b' } else { 'a' };
    wrong.pop();
    wrong.push(last);
    let said = refused(&cluster, "n1", "node", &wrong);
    assert!(said.contains("secret") && said.contains("wrong"), "{said}");

    let said = refused(&cluster, "n1", "server", &good);
    assert!(said.contains("for joining as node"), "{said}");

    let short = cluster.token("node", &["--ttl", "1s"]);
    std::thread::sleep(Duration::from_secs(2));
    let said = refused(&cluster, "n1", "node", &short);
    // The cleaner may have deleted it already; both tell the person what to do.
    assert!(said.contains("expired") || said.contains("not known"), "{said}");

    let once = cluster.token("node", &["--uses", "1"]);
    cluster.join_node_with("n1", &once);
    eventually("the token is spent", Duration::from_secs(20), || {
        let list = kabuki(&cluster, &["token", "list"])?;
        let line = list.lines().find(|l| once.contains(l.split(' ').next().unwrap_or("?")));
        match line {
            Some(l) if l.trim_end().ends_with(" 0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let said = refused(&cluster, "x", "node", &once);
    assert!(said.contains("used up"), "{said}");

    let hash_at = 2;
    let mut foreign = good.clone();
    let digit = if &good[hash_at..=hash_at] == "0" { "1" } else { "0" };
    foreign.replace_range(hash_at..=hash_at, digit);
    let said = refused(&cluster, "x", "node", &foreign);
    assert!(said.contains("another cluster"), "{said}");

    let id = good.split("::").nth(1).and_then(|t| t.split('.').next()).expect("id").to_string();
    kabuki(&cluster, &["token", "delete", &id]).expect("delete");
    let said = refused(&cluster, "x", "node", &good);
    assert!(said.contains("not known"), "{said}");

    let said = refused(&cluster, "x", "node", "nonsense");
    assert!(said.contains("not a join token"), "{said}");
}

#[test]
fn members_start_again_in_any_order() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(23, &["m1", "m2", "m3"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    create_config_map(&cluster, 1, "before");
    for member in &mut cluster.members {
        member.process.kill();
    }
    for index in [2, 0, 1] {
        cluster.members[index].restart();
        std::thread::sleep(Duration::from_millis(300));
    }
    for member in &cluster.members {
        member.wait_ready();
    }
    for index in 0..3 {
        eventually("the ConfigMap is still there", Duration::from_secs(10), || {
            get_config_map(&cluster, index, "before")
        });
    }
    create_config_map(&cluster, 2, "after");
}

#[test]
fn a_data_directory_keeps_its_owner() {
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("member.json"), "{").expect("file");
    let error = run(Command::new(KABUKI)
        .args(["server", "--init", "--bind-address=127.0.0.1", "--name=a"])
        .arg(format!("--data-dir={}", dir.path().display())))
    .expect_err("a damaged identity must be refused");
    assert!(error.contains("damaged") && error.contains("member.json"), "{error}");
}

fn config_maps(cluster: &Cluster, member: usize) -> kube::Config {
    cluster.kube_config(member)
}

fn create_config_map(cluster: &Cluster, member: usize, name: &str) {
    let config = config_maps(cluster, member);
    cluster.members[member].host.block_on(async {
        let client = kube::Client::try_from(config).expect("client");
        let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
            kube::Api::namespaced(client, "default");
        let mut object = k8s_openapi::api::core::v1::ConfigMap::default();
        object.metadata.name = Some(name.to_string());
        api.create(&kube::api::PostParams::default(), &object).await.expect("create");
    });
}

fn get_config_map(cluster: &Cluster, member: usize, name: &str) -> Result<(), String> {
    let config = config_maps(cluster, member);
    cluster.members[member].host.block_on(async {
        let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
        let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
            kube::Api::namespaced(client, "default");
        api.get(name).await.map(drop).map_err(|e| e.to_string())
    })
}
