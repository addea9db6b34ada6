//! What clients see of three members when two are silent, and of a leader cut off from the others:
//! the real binary on hosts of its own, with a node and a pod.

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{
    cluster::{Cluster, Machine, pod_cgroups},
    eventually,
    host::Lab,
    image::{Format, busybox},
    registry::Registry,
};

/// How long a step may take.
const STEP: Duration = Duration::from_secs(40);
/// Longest wait for any answer; the cluster promises one within five seconds.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a cluster may take to serve again before the test fails; what it took is printed.
const HEALED: Duration = Duration::from_secs(10);
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What was answered.
#[derive(Debug)]
struct Answer {
    code: u16,
    retry_after: Option<String>,
    text: String,
    took: Duration,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A refusal as clients can handle it: a Status, when to come again, and what is wrong.
    fn assert_refused(&self, what: &str) {
        let status = self.json();
        assert!(matches!(self.code, 503 | 504), "{what}: {self:?}");
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(matches!(reason, "ServiceUnavailable" | "Timeout"), "{what}: {self:?}");
        // What may have happened must not be sent again as it is.
        let again = (self.code == 503).then_some("1");
        assert_eq!(self.retry_after.as_deref(), again, "{what}: {self:?}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains("quorum") || message.contains("outcome"), "{what}: {message}");
        println!("{what}: {} after {:?}: {message}", self.code, self.took);
    }
}

/// Asks a member from its own host; as the administrator, or as nobody.
fn ask(member: &Machine, admin: bool, verb: &str, path: &str, body: Option<Value>) -> Answer {
    let url = format!("{}{path}", member.url());
    let dir = member.data_dir.join("pki");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("file");
    let pem = format!("{}{}", read("admin.key"), read("admin.crt"));
    let ca = read("ca.crt");
    let begin = Instant::now();
    let answered = member.host.block_on(async {
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("authority");
        let mut builder =
            reqwest::Client::builder().tls_certs_only([ca]).timeout(ANSWER).no_proxy();
        if admin {
            builder =
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("certificate"));
        }
        let client = builder.build().expect("client");
        let mut request = client.request(verb.parse().expect("verb"), &url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| format!("{e:?}"))?;
        let code = answer.status().as_u16();
        let retry_after =
            answer.headers().get("retry-after").map(|v| v.to_str().expect("text").to_string());
        let text = answer.text().await.map_err(|e| format!("{e:?}"))?;
        Ok::<_, String>((code, retry_after, text))
    });
    let took = begin.elapsed();
    let (code, retry_after, text) =
        answered.unwrap_or_else(|e| panic!("{verb} {path} at {}: {e}", member.host.name));
    Answer { code, retry_after, text, took }
}

fn get(member: &Machine, path: &str) -> Answer {
    ask(member, true, "GET", path, None)
}

fn create(member: &Machine, name: &str, value: &str) -> Answer {
    let object = json!({"metadata": {"name": name}, "data": {"v": value}});
    ask(member, true, "POST", CONFIG_MAPS, Some(object))
}

/// Follows a collection from a revision until the connection ends.
struct Watching {
    ended: Arc<AtomicBool>,
    seen: Arc<parking_lot::Mutex<String>>,
}

impl Watching {
    fn start(member: &Machine) -> Self {
        let watching = Self { ended: Arc::default(), seen: Arc::default() };
        let (ended, seen) = (watching.ended.clone(), watching.seen.clone());
        let url = format!("{}{CONFIG_MAPS}?watch=1&resourceVersion=0", member.url());
        let (dir, host) = (member.data_dir.join("pki"), member.host.clone());
        std::thread::spawn(move || {
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("file");
            let pem = format!("{}{}", read("admin.key"), read("admin.crt"));
            let ca = read("ca.crt");
            host.block_on(async {
                let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("authority");
                let client = reqwest::Client::builder()
                    .tls_certs_only([ca])
                    .identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("certificate"))
                    .no_proxy()
                    .build()
                    .expect("client");
                let Ok(mut answer) = client.get(url).send().await else { return };
                while let Ok(Some(chunk)) = answer.chunk().await {
                    seen.lock().push_str(&String::from_utf8_lossy(&chunk));
                }
            });
            ended.store(true, Ordering::Relaxed);
        });
        watching
    }

    fn sees(&self, name: &str) {
        eventually(&format!("the watch tells of {name}"), STEP, || {
            assert!(!self.ended.load(Ordering::Relaxed), "the watch ended");
            let seen = self.seen.lock().contains(&format!("\"name\":\"{name}\""));
            if seen { Ok(()) } else { Err("not yet".to_string()) }
        });
    }
}

#[test]
fn clients_of_a_cluster_without_quorum() {
    if !support::is_root() {
        eprintln!("skipped: needs root for namespaces, mounts and cgroups");
        return;
    }
    let lab = Lab::new(26, &["m1", "m2", "m3", "n1", "reg"]);
    let dir = tempfile::tempdir().expect("directory");
    let registry = Registry::start(lab.host("reg"), dir.path());
    let image = registry.push(&busybox(Format::Oci), "busybox", "1");
    let mut cluster = Cluster::new(lab, &registry.name());
    cluster.init("m1", &["--node-monitor-grace-period=4"]);
    cluster.join_member("m2", &["--node-monitor-grace-period=4"]);
    cluster.join_member("m3", &["--node-monitor-grace-period=4"]);
    cluster.join_node("n1");
    let pod = run_pod(&cluster, &image);
    two_silent_members(&cluster);
    leader_cut_off(&cluster);
    let (before, now) = (pod, pod_state(&cluster, leader(&cluster)).expect("pod"));
    assert_eq!(before, now, "the pod lost its container while the control plane was away");
}

fn two_silent_members(cluster: &Cluster) {
    let leader = leader(cluster);
    let left = (leader + 1) % 3;
    let survivor = &cluster.members[left];
    assert_eq!(create(survivor, "before", "1").code, 201);
    let watch = Watching::start(survivor);
    watch.sees("before");
    let cgroups = pods_of(cluster);
    assert!(!cgroups.is_empty());

    let silent: Vec<&Machine> =
        (0..3).filter(|m| *m != left).map(|m| &cluster.members[m]).collect();
    silent.iter().for_each(|m| m.process.signal(Signal::SIGSTOP));
    // The very first ones find a leader that seems to be there, and those later none.
    for round in 0..2 {
        std::thread::scope(|scope| {
            let name = format!("lost-{round}");
            scope.spawn(move || create(survivor, &name, "1").assert_refused("create"));
            scope.spawn(|| get(survivor, &format!("{CONFIG_MAPS}/before")).assert_refused("get"));
            scope.spawn(|| get(survivor, CONFIG_MAPS).assert_refused("list"));
        });
    }
    assert_eq!(get(survivor, "/livez").code, 200);
    let ready = get(survivor, "/readyz");
    assert!(ready.code >= 500 && ready.text.contains("[-]store failed"), "{ready:?}");
    for path in [
        format!("{CONFIG_MAPS}?resourceVersion=0"),
        CONFIG_MAPS.to_string() + "/before?resourceVersion=0",
    ] {
        let cached = get(survivor, &path);
        assert!(cached.code == 200 && cached.text.contains("before"), "{path}: {cached:?}");
    }
    // Who may do what is known here.
    assert_eq!(ask(survivor, false, "GET", "/version", None).code, 200);
    let secrets = "/api/v1/namespaces/default/secrets?resourceVersion=0";
    assert_eq!(ask(survivor, false, "GET", secrets, None).code, 403);
    assert_eq!(get(survivor, secrets).code, 200);
    assert_eq!(pods_of(cluster), cgroups, "the node's pods run on");

    silent.iter().for_each(|m| m.process.signal(Signal::SIGCONT));
    healed(survivor, "healed-1");
    watch.sees("healed-1");
    assert_eq!(get(survivor, "/readyz").code, 200);
}

fn leader_cut_off(cluster: &Cluster) {
    let old = leader(cluster);
    let cut = &cluster.members[old];
    let other = &cluster.members[(old + 1) % 3];
    assert_eq!(create(cut, "counter", "old").code, 201);
    cut.host.unplug();
    // Its clients are on its side: asked without a pause, none may be told an old value as if new.
    let path = format!("{CONFIG_MAPS}/counter");
    let newer = json!({"data": {"v": "new"}});
    let mut written = false;
    for _ in 0..4 {
        let read = get(cut, &path);
        if written {
            read.assert_refused("linearizable read at the leader that was cut off");
        }
        create(cut, "never", "1").assert_refused("create at the leader that was cut off");
        let patched = patch(other, &path, &newer);
        written |= patched.code == 200;
    }
    assert!(written, "the other two never took a write");
    let stale = get(cut, &format!("{path}?resourceVersion=0"));
    assert_eq!((stale.code, stale.json()["data"]["v"].as_str()), (200, Some("old")), "{stale:?}");
    cut.host.plug();
    healed(cut, "healed-2");
    assert_eq!(get(cut, &path).json()["data"]["v"], "new");
    let never = get(cut, &format!("{CONFIG_MAPS}/never"));
    assert_eq!(never.code, 404, "what was refused was written: {never:?}");
}

/// Writes until it is taken, and prints how long that took.
fn healed(member: &Machine, name: &str) {
    let begin = Instant::now();
    eventually("a write is taken", HEALED, || {
        let answer = create(member, name, "1");
        if answer.code == 201 || answer.code == 409 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    println!("{name}: the first write was taken {:?} after healing", begin.elapsed());
}

fn patch(member: &Machine, path: &str, body: &Value) -> Answer {
    let current = get(member, path);
    let mut object = current.json();
    if current.code != 200 {
        return current;
    }
    object["data"] = body["data"].clone();
    ask(member, true, "PUT", path, Some(object))
}

fn leader(cluster: &Cluster) -> usize {
    eventually("one member leads", STEP, || {
        let leads = |m: &Machine| {
            let text = get(m, "/metrics").text;
            text.lines().any(|l| l.trim() == "kabuki_store_is_leader 1")
        };
        let found: Vec<usize> = (0..3).filter(|m| leads(&cluster.members[*m])).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            other => Err(format!("{other:?}")),
        }
    })
}

fn pods_of(cluster: &Cluster) -> Vec<String> {
    let root = support::cluster::cgroup_root(Path::new(&cluster.nodes[0].data_dir));
    pod_cgroups(&root)
}

fn run_pod(cluster: &Cluster, image: &str) -> String {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": image, "command": ["sleep", "1000"]}],
        "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0}});
    let path = "/api/v1/namespaces/default/pods";
    eventually("the pod is taken", STEP, || {
        let answer = ask(&cluster.members[0], true, "POST", path, Some(pod.clone()));
        if answer.code == 201 { Ok(()) } else { Err(answer.text) }
    });
    eventually("the pod runs", STEP, || pod_state(cluster, 0))
}

/// Container id and restarts of the pod, when it is Ready.
fn pod_state(cluster: &Cluster, member: usize) -> Result<String, String> {
    let answer = get(&cluster.members[member], "/api/v1/namespaces/default/pods/p");
    let status = &answer.json()["status"]["containerStatuses"][0];
    match status["ready"].as_bool() {
        Some(true) => Ok(format!("{} {}", status["containerID"], status["restartCount"])),
        _ => Err(answer.text),
    }
}
