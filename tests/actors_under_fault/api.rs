//! A client that goes on with the next member, and what is measured of the processes.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    cluster::{Cluster, KABUKI, Machine},
    eventually,
    image::{Format, busybox},
    process::run,
};

/// How long a step may take.
pub const STEP: Duration = Duration::from_secs(30);
/// How much more of each a process may have after the drill. Memory: history of the objects that came
/// and went, and the panics: the first reads the symbols of the program.
const MORE_MIB: u64 = 96;
const MORE_FILES: usize = 24;
const MORE_THREADS: usize = 24;

/// The cluster and a way to talk to it.
pub struct Api<'a> {
    pub cluster: &'a Cluster,
    turn: AtomicUsize,
}

/// What a process takes.
#[derive(Debug)]
pub struct Footprint {
    name: String,
    mib: u64,
    files: usize,
    threads: usize,
}

impl<'a> Api<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, turn: AtomicUsize::new(0) }
    }

    /// One request to one member.
    pub fn at(&self, member: usize, verb: &str, path: &str, body: &str) -> Result<String, String> {
        let kind =
            if verb == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let config = self.cluster.kube_config(member);
        let request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("content-type", kind)
            .body(body.as_bytes().to_vec())
            .expect("request");
        self.cluster.members[member].host.block_on(async {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            let asked = client.request_text(request);
            let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
            answer.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
        })
    }

    pub fn json_at(&self, member: usize, path: &str) -> Result<Value, String> {
        let text = self.at(member, "GET", path, "")?;
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    }

    /// Asks one member after the other until one does it. `done` tells errors that mean that it is
    /// done already: an answer may have been lost.
    pub fn insist(&self, verb: &str, path: &str, body: &Value, done: &str) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        eventually(&format!("{verb} {path}"), STEP, || {
            let member = self.turn.fetch_add(1, Ordering::Relaxed) % self.cluster.members.len();
            match self.at(member, verb, path, &body) {
                Err(error) if !done.is_empty() && error.contains(done) => Ok(()),
                other => other.map(drop),
            }
        });
    }

    pub fn create(&self, path: &str, object: &Value) {
        self.insist("POST", path, object, "AlreadyExists");
    }

    pub fn delete(&self, path: &str) {
        self.insist("DELETE", path, &Value::Null, "NotFound");
    }

    pub fn list(&self, path: &str) -> Vec<Value> {
        let list = eventually(&format!("list {path}"), STEP, || self.json_at(0, path));
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Images on the nodes, and a Deployment that stays.
    pub fn begin(&self) {
        eventually("two nodes are Ready", STEP, || {
            let nodes = self.json_at(0, "/api/v1/nodes")?;
            let ready = nodes["items"].as_array().into_iter().flatten().filter(|n| is_ready(n));
            if ready.count() == 2 { Ok(()) } else { Err(nodes.to_string()) }
        });
        let archive = self.cluster.dir.path().join("busybox.tar");
        let bytes = busybox(Format::Oci).oci_archive("localhost/busybox:1");
        std::fs::write(&archive, bytes).expect("archive");
        for node in &self.cluster.nodes {
            let mut command = node.host.command(KABUKI);
            command.args(["image", "load", &archive.to_string_lossy()]);
            command.arg(format!("--data-dir={}", node.data_dir.display()));
            run(&mut command).expect("image load");
        }
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod(&["sleep", "3600"])}}});
        self.create("/apis/apps/v1/namespaces/default/deployments", &web);
        eventually("web runs", STEP, || {
            let pods = self.list("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb");
            let ready = pods.iter().filter(|p| is_ready(p)).count();
            if ready == 4 { Ok(()) } else { Err(format!("{ready} ready")) }
        });
    }

    /// Container ids and restarts of what stays.
    pub fn containers(&self) -> BTreeMap<String, String> {
        let pods = self.list("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb");
        let of = |pod: &Value| {
            let status = &pod["status"]["containerStatuses"][0];
            let text = format!("{} {}", status["containerID"], status["restartCount"]);
            (pod["metadata"]["uid"].to_string(), text)
        };
        pods.iter().map(of).collect()
    }

    fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.cluster.members.iter().chain(&self.cluster.nodes)
    }

    /// What every process takes now.
    pub fn footprints(&self) -> Vec<Footprint> {
        self.machines().map(footprint).collect()
    }

    /// Processes are back to about what they were.
    pub fn assert_small(&self, before: &[Footprint]) {
        eventually("the processes are as small as before", STEP, || {
            let now = self.footprints();
            let large = now.iter().zip(before).find(|(now, was)| {
                now.mib > was.mib + MORE_MIB
                    || now.files > was.files + MORE_FILES
                    || now.threads > was.threads + MORE_THREADS
            });
            large.map_or(Ok(()), |(now, was)| Err(format!("{now:?}, was {was:?}")))
        });
        for (now, was) in self.footprints().iter().zip(before) {
            println!(
                "{}: {} MiB (was {}), {} files ({}), {} threads ({})",
                now.name, now.mib, was.mib, now.files, was.files, now.threads, was.threads
            );
        }
    }
}

fn footprint(machine: &Machine) -> Footprint {
    let proc = format!("/proc/{}", machine.process.pid());
    let status = std::fs::read_to_string(format!("{proc}/status")).expect("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).expect("field");
        line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).expect("number")
    };
    Footprint {
        name: machine.host.name.clone(),
        mib: field("VmRSS:") / 1024,
        files: std::fs::read_dir(format!("{proc}/fd")).expect("fd").count(),
        threads: usize::try_from(field("Threads:")).expect("threads"),
    }
}

/// The spec of a pod of one container.
pub fn pod(command: &[&str]) -> Value {
    json!({"terminationGracePeriodSeconds": 0, "containers": [{"name": "c",
        "image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent", "command": command}]})
}

/// Condition Ready.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}
