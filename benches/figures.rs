//! First figures of SPECIFICATION.md: start, apply → running, idle memory and CPU.
//!
//! `cargo bench --bench figures` (root; uses network namespaces of its own). Prints one line per
//! figure; asserts nothing about speed.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{PostParams, WatchEvent, WatchParams},
};
use support::{
    cluster::{Cluster, KABUKI},
    eventually,
    host::Lab,
    image::{Format, busybox},
    process::{Process, run},
};

/// Starts measured.
const STARTS: usize = 5;
/// Pods started one after another.
const PODS: usize = 40;
/// How long an idle process is watched for its CPU use.
const IDLE: Duration = Duration::from_secs(10);
/// How long a process is left alone before its memory is looked at: a shim gives back the pages of
/// its start after three seconds.
const SETTLE: Duration = Duration::from_secs(5);
/// A registry nobody asks.
const NO_REGISTRY: &str = "127.0.0.1:1";

fn main() {
    // Test runners ask every target for its tests; this one has none.
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    if !support::is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    one_process();
    quorum();
}

fn one_process() {
    let mut starts: Vec<Duration> = (0..STARTS).map(|_| start_once()).collect();
    report("up on a fresh directory -> /readyz", &mut starts);

    let mut cluster = Cluster::new(Lab::new(31, &["a"]), NO_REGISTRY);
    cluster.up("a");
    let machine = &cluster.members[0];
    let archive = cluster.dir.path().join("busybox.tar");
    std::fs::write(&archive, busybox(Format::Oci).oci_archive("localhost/busybox:1"))
        .expect("archive");
    let mut load = machine.host.command(KABUKI);
    load.args(["image", "load"]).arg(&archive);
    load.arg(format!("--data-dir={}", machine.data_dir.display()));
    run(&mut load).expect("image load");

    std::thread::sleep(SETTLE);
    memory("up, no pods", machine.process.pid());
    idle_cpu("up, no pods", machine.process.pid());

    let config = cluster.kube_config(0);
    let mut times = machine.host.block_on(async {
        let api: Api<Pod> =
            Api::namespaced(kube::Client::try_from(config).expect("client"), "default");
        let mut times = Vec::new();
        for index in 0..PODS {
            times.push(run_pod(&api, &format!("p{index}")).await);
        }
        times
    });
    report("apply -> container running, image present", &mut times);
    std::thread::sleep(SETTLE);
    memory(&format!("up, {PODS} pods"), machine.process.pid());
    shims(&machine.data_dir);
}

fn quorum() {
    let mut cluster = Cluster::new(Lab::new(32, &["m1", "m2", "m3", "n1"]), NO_REGISTRY);
    let begin = Instant::now();
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_member("m3", &[]);
    println!("three members started and joined one after another: {:?}", begin.elapsed());
    let token = cluster.token("node", &[]);
    let begin = Instant::now();
    cluster.join_node_with("n1", &token);
    let config = cluster.kube_config(0);
    let host = cluster.members[0].host.clone();
    eventually("node Ready", Duration::from_secs(30), || {
        let config = config.clone();
        host.block_on(async move {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            let node = Api::<Node>::all(client).get("n1").await.map_err(|e| e.to_string())?;
            let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
            if ready { Ok(()) } else { Err("not ready".to_string()) }
        })
    });
    println!("node started with a token -> Ready (polled every 100 ms): {:?}", begin.elapsed());
    std::thread::sleep(SETTLE);
    memory("member, first of three", cluster.members[0].process.pid());
    memory("node alone", cluster.nodes[0].process.pid());
    idle_cpu("member, first of three", cluster.members[0].process.pid());
    idle_cpu("node alone", cluster.nodes[0].process.pid());
}

fn start_once() -> Duration {
    let lab = Lab::new(30, &["a"]);
    let dir = tempfile::tempdir().expect("directory");
    let data_dir = dir.path().join("d");
    let host = lab.host("a").clone();
    let mut command = host.command(KABUKI);
    command.arg("up").arg(format!("--data-dir={}", data_dir.display()));
    command.arg(format!("--bind-address={}", host.address)).arg("--name=a");
    let url = format!("https://{}:6443/readyz", host.address);
    let begin = Instant::now();
    let mut process = Process::start(command, &dir.path().join("log"));
    let took = host.block_on(async {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .build()
            .expect("client");
        loop {
            if let Ok(response) = client.get(&url).send().await
                && response.status().is_success()
            {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", process.tail(20));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    process.stop();
    let mut reset = host.command(KABUKI);
    reset.arg("reset").arg(format!("--data-dir={}", data_dir.display()));
    run(&mut reset).expect("reset");
    took
}

/// Creates a pod and waits until a watch says that its container runs.
async fn run_pod(api: &Api<Pod>, name: &str) -> Duration {
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "c", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
                "command": ["/bin/sleep", "3600"],
            }],
        },
    }))
    .expect("pod");
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&params, "0").await.expect("watch").boxed();
    let begin = Instant::now();
    api.create(&PostParams::default(), &pod).await.expect("create");
    while let Some(event) = events.next().await {
        if let Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event
            && pod.status.and_then(|s| s.phase).as_deref() == Some("Running")
        {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "pod {name} does not run");
    }
    panic!("watch of {name} ended");
}

/// Prints the distribution of `times`.
fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let last = times.len() - 1;
    println!(
        "{what}, n={}: min {:?}, p50 {:?}, p99 {:?}, max {:?}",
        times.len(),
        times[0],
        times[last / 2],
        times[last * 99 / 100],
        times[last]
    );
}

fn memory(what: &str, pid: i32) {
    println!("PSS {what}: {:.1} MB", mib(pss_kib(pid)));
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn pss_kib(pid: i32) -> u64 {
    rollup_kib(pid, "Pss:")
}

/// A row of a process's memory map as a whole, KiB; 0 when the process is gone.
fn rollup_kib(pid: i32, row: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix(row))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn idle_cpu(what: &str, pid: i32) {
    let before = cpu_ticks(pid);
    std::thread::sleep(IDLE);
    // A tick is 10 ms (USER_HZ = 100) on every Linux architecture Rust supports.
    let busy_ms = (cpu_ticks(pid) - before) * 10;
    let share = busy_ms as f64 / IDLE.as_millis() as f64 * 100.0;
    println!("idle CPU {what}: {share:.2} % of a core over {IDLE:?}");
}

/// User and system time of a process, in ticks (fields 14 and 15 of proc(5) stat).
fn cpu_ticks(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}

/// Prints the mean memory of the shims of a node.
fn shims(data_dir: &Path) {
    let mine =
        [support::cluster::run_dir(data_dir).display().to_string(), data_dir.display().to_string()];
    let sizes: Vec<(u64, u64)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.split_whitespace().nth(1) == Some("shim") && mine.iter().any(|m| line.contains(m))
        })
        .map(|pid| (pss_kib(pid), rollup_kib(pid, "Private_Dirty:")))
        .collect();
    if sizes.is_empty() {
        println!("no shim found");
        return;
    }
    let mean = |kib: u64| mib(kib) / sizes.len() as f64;
    println!(
        "PSS per shim, mean of {}: {:.2} MB, of it private and dirty {:.2} MB",
        sizes.len(),
        mean(sizes.iter().map(|s| s.0).sum()),
        mean(sizes.iter().map(|s| s.1).sum())
    );
}
