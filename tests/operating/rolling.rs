//! All members restarted, one after another, while clients use them.

use std::time::Duration;

use super::{
    NO_REGISTRY, kabuki, leader, listed,
    load::{Load, Outcome},
    support::{self, cluster::Cluster, eventually, host::Lab, process},
};

/// How long a member may take to end after SIGTERM.
const STOPS_WITHIN: Duration = Duration::from_secs(9);

/// Stops a member in good order and starts it again, with `program` if one is given.
pub(super) fn restart(cluster: &mut Cluster, member: usize, program: Option<&str>) {
    let machine = &mut cluster.members[member];
    machine.process.signal(nix::sys::signal::Signal::SIGTERM);
    eventually("the member ends", STOPS_WITHIN, || match machine.process.is_running() {
        false => Ok(()),
        true => Err(machine.process.tail(5)),
    });
    match program {
        Some(program) => machine.restart_as(program),
        None => machine.restart(),
    }
    machine.wait_ready();
}

/// Nothing failed, and everything acknowledged is there, through every member.
pub(super) fn check(cluster: &Cluster, what: &str, outcome: &Outcome) {
    let Outcome { requests, failures, kept } = outcome;
    assert!(failures.is_empty(), "{what}: {} of {requests} failed: {failures:#?}", failures.len());
    for member in 0..cluster.members.len() {
        let (names, _) = listed(cluster, member).expect("list");
        let lost: Vec<_> = kept.iter().filter(|name| !names.contains(name)).collect();
        assert!(lost.is_empty(), "{what}: lost {lost:?}");
    }
}

/// Restarts every member, the leader first, under a load on all members in turn and, beside each
/// restart, one on another member alone.
pub(super) fn roll(cluster: &mut Cluster, program: Option<&str>) -> usize {
    let clients = cluster.lab.host("c").clone();
    let all = Load::start(cluster, &clients, "all", &[0, 1, 2], 4);
    let first = leader(cluster);
    let mut requests = 0;
    for step in 0..3 {
        let member = (first + step) % 3;
        let other = (member + 1) % 3;
        let one = Load::start(cluster, &clients, &format!("one-{step}"), &[other], 2);
        let before = (all.requests(), one.requests());
        eventually("both loads go on", Duration::from_secs(10), || {
            let more = (all.requests() - before.0, one.requests() - before.1);
            if more.0 > 40 && more.1 > 20 { Ok(()) } else { Err(format!("{more:?}")) }
        });
        restart(cluster, member, program);
        let outcome = one.finish();
        check(cluster, &format!("one member while {member} restarted"), &outcome);
        requests += outcome.requests;
    }
    let outcome = all.finish();
    check(cluster, "all members in turn", &outcome);
    requests + outcome.requests
}

#[test]
fn every_member_restarts_without_a_failed_request() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(62, &["m1", "m2", "m3", "c"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    // A watch ends in good order when its member stops.
    let watching = leader(&cluster);
    let config = cluster.members[watching].data_dir.join("admin.kubeconfig");
    let watch = std::thread::spawn({
        let host = cluster.members[watching].host.clone();
        move || host.block_on(follow_to_its_end(config))
    });
    std::thread::sleep(Duration::from_millis(500));
    let requests = roll(&mut cluster, None);
    println!("{requests} requests, none failed");
    watch.join().expect("watch").expect("the watch ends without an error");
    let log = std::fs::read_to_string(&cluster.members[watching].process.log).expect("log");
    assert!(log.contains("leadership handed over"), "{log}");
    kabuki(&cluster, 0, &["member", "list"]).expect("list");
}

/// Follows ConfigMaps until the server ends the watch.
async fn follow_to_its_end(kubeconfig: std::path::PathBuf) -> Result<(), String> {
    use futures_util::AsyncReadExt;
    let text = |e: &dyn std::fmt::Debug| format!("{e:?}");
    let config = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|e| text(&e))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let client = kube::Client::try_from(config.map_err(|e| text(&e))?).map_err(|e| text(&e))?;
    let request = http::Request::get("/api/v1/configmaps?watch=1").body(Vec::new());
    let stream = client.request_stream(request.map_err(|e| text(&e))?).await;
    let mut stream = Box::pin(stream.map_err(|e| text(&e))?);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map_err(|e| text(&e))?;
    // Every line is whole: the end came between two events.
    if all.ends_with(b"}\n") { Ok(()) } else { Err(format!("ends with {:?}", all.last())) }
}

/// Restarts every member as `program` under load. The members that are replaced need not stop as
/// this release does, so that a request may fail; what was acknowledged must be there all the same.
pub(super) fn upgrade(cluster: &mut Cluster, program: &str) -> usize {
    let clients = cluster.lab.host("c").clone();
    let load = Load::start(cluster, &clients, "upgrade", &[0, 1, 2], 4);
    for member in 0..3 {
        let before = load.requests();
        eventually("the load goes on", Duration::from_secs(20), || {
            let more = load.requests() - before;
            if more > 100 { Ok(()) } else { Err(format!("{more}")) }
        });
        restart(cluster, member, Some(program));
    }
    let mut outcome = load.finish();
    for failure in outcome.failures.drain(..) {
        println!("while the previous release stopped: {failure}");
    }
    check(cluster, "upgrade", &outcome);
    outcome.requests
}

/// The version of a program, as it says it.
pub(super) fn version(program: &str) -> String {
    process::sh(&format!("{program} --version")).unwrap_or_else(|e| e)
}
