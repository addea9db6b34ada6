//! Certificates that end while everything runs, with the real binary: lives of seconds for three
//! members and two nodes, over more than two lives.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Node},
};
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use support::{
    cluster::{Cluster, KABUKI},
    eventually,
    host::{Host, Lab},
    process::run,
};

/// A registry nobody asks.
const NO_REGISTRY: &str = "127.0.0.1:1";
/// How long a certificate lives here.
const LIFE: Duration = Duration::from_secs(10);
/// How long a step may take.
const STEP: Duration = Duration::from_secs(20);

#[test]
fn certificates_rotate_while_everything_runs() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    // Nodes renew their leases every 10 s: with less than that they would be given up in between.
    let flags = ["--certificate-lifetime=10s", "--node-monitor-grace-period=15"];
    let lab = Lab::new(25, &["m1", "m2", "m3", "n1", "n2"]);
    let mut cluster = Cluster::new(lab, NO_REGISTRY);
    cluster.init("m1", &flags);
    cluster.join_member("m2", &flags);
    cluster.join_member("m3", &flags);
    cluster.join_node("n1");
    cluster.join_node("n2");
    for node in ["n1", "n2"] {
        eventually("the node is Ready", STEP, || ready_node(&cluster, node));
    }
    let lost_uid = ready_node(&cluster, "n2").expect("node");
    let first = cluster.kube_config(0);
    let terms = metric(&cluster, "kabuki_store_term");

    // Down for more than a life: a member that holds the authorities, and a node that does not.
    cluster.members[2].process.kill();
    cluster.nodes[1].process.stop();
    let begin = Instant::now();
    let watch = Watching::start(&cluster.members[0].host, first.clone());
    let mut writes = 0;
    while begin.elapsed() < LIFE * 2 + LIFE / 5 {
        for member in 0..2 {
            write(&cluster, member, &format!("w{writes}"))
                .unwrap_or_else(|e| panic!("after {:?}: {e}\n{}", begin.elapsed(), cluster.logs()));
            writes += 1;
        }
        ready_node(&cluster, "n1").unwrap_or_else(|e| panic!("after {:?}: {e}", begin.elapsed()));
        std::thread::sleep(Duration::from_millis(200));
    }
    eventually("the watch saw every write", STEP, || watch.has_seen(writes));
    heartbeat_is_recent(&cluster, "n1");
    let terms_now = metric(&cluster, "kabuki_store_term");
    assert_eq!(terms["0"], terms_now["0"], "an election: the peers' links did not hold");
    for certificate in ["server", "peer", "admin"] {
        let line = format!(
            "kabuki_certificate_renewals_total{{certificate=\"{certificate}\",result=\"success\"}}"
        );
        assert!(metric(&cluster, &line)["0"] >= 2.0, "{certificate}");
        let left =
            format!("kabuki_certificate_expiration_seconds{{certificate=\"{certificate}\"}}");
        assert!(metric(&cluster, &left)["0"] > 0.0, "{certificate}");
    }
    let path = "/debug/actors/node/certificates/state?node=n1";
    let state = eventually("the node tells of its certificate", STEP, || call(&cluster, 0, path));
    let state: serde_json::Value = serde_json::from_str(&state).expect("json");
    let kept = &state["state"]["certificates"][0];
    assert!(kept["renewals"].as_u64() >= Some(2), "{state}");
    refused(&cluster.members[0].host, first);

    cluster.members[2].restart();
    cluster.members[2].wait_ready();
    write(&cluster, 2, "after").expect("the member that was down serves again");
    node_comes_back(&mut cluster, &lost_uid);
}

/// A node whose certificate ended while it was down says how to come back, and does so as itself.
fn node_comes_back(cluster: &mut Cluster, uid: &str) {
    let node = cluster.nodes.remove(1);
    let mut command = node.host.command("timeout");
    command.args(["20", KABUKI, "node", "--name=n2"]);
    command.arg(format!("--bind-address={}", node.host.address));
    command.arg(format!("--data-dir={}", node.data_dir.display()));
    let said = run(&mut command).expect_err("the certificate has expired");
    for words in ["expired at", "kabuki token create --role node", "--join URL --token TOKEN"] {
        assert!(said.contains(words), "{said}");
    }
    let token = cluster.token("node", &[]);
    drop(node);
    cluster.join_node_with("n2", &token);
    let now = eventually("the node is Ready again", STEP, || ready_node(cluster, "n2"));
    assert_eq!(now, uid, "the Node object is the one of before");
}

/// Counts what a watch that was opened with the first certificate sees.
struct Watching {
    seen: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Watching {
    fn start(host: &Host, config: kube::Config) -> Self {
        let (seen, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let watching = Self { seen: seen.clone(), ended: ended.clone() };
        let host = host.clone();
        std::thread::spawn(move || {
            host.block_on(async {
                let client = kube::Client::try_from(config).expect("client");
                let api: Api<ConfigMap> = Api::namespaced(client, "default");
                let params = WatchParams::default().labels("test=rotation");
                let events = api.watch(&params, "0").await.expect("watch");
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    if matches!(event, WatchEvent::Added(_)) {
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            ended.store(true, Ordering::Relaxed);
        });
        watching
    }

    fn has_seen(&self, writes: u64) -> Result<(), String> {
        let seen = self.seen.load(Ordering::Relaxed);
        assert!(!self.ended.load(Ordering::Relaxed), "the watch ended after {seen} events");
        if seen == writes { Ok(()) } else { Err(format!("{seen} of {writes}")) }
    }
}

/// Creates a ConfigMap and reads it back, linearizably, with the kubeconfig as it is now.
fn write(cluster: &Cluster, member: usize, name: &str) -> Result<(), String> {
    let config = cluster.kube_config(member);
    cluster.members[member].host.block_on(async {
        let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
        let api: Api<ConfigMap> = Api::namespaced(client, "default");
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.to_string());
        object.metadata.labels = Some([("test".into(), "rotation".into())].into());
        api.create(&PostParams::default(), &object).await.map_err(|e| e.to_string())?;
        api.get(name).await.map(drop).map_err(|e| e.to_string())
    })
}

/// The uid of a node that is Ready.
fn ready_node(cluster: &Cluster, name: &str) -> Result<String, String> {
    let config = cluster.kube_config(0);
    cluster.members[0].host.block_on(async {
        let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
        let node = Api::<Node>::all(client).get(name).await.map_err(|e| e.to_string())?;
        let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
        if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
            return node.metadata.uid.ok_or_else(|| "no uid".to_string());
        }
        Err(format!("{name} is not Ready: {conditions:?}"))
    })
}

fn heartbeat_is_recent(cluster: &Cluster, name: &str) {
    eventually("the node's lease moves", STEP, || {
        let renewed = || {
            let config = cluster.kube_config(0);
            cluster.members[0].host.block_on(async {
                let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
                let api: Api<Lease> = Api::namespaced(client, "kube-node-lease");
                let lease = api.get(name).await.map_err(|e| e.to_string())?;
                Ok::<_, String>(lease.spec.and_then(|s| s.renew_time))
            })
        };
        let before = renewed()?;
        eventually("the next heartbeat", STEP, || {
            let now = renewed()?;
            if now == before { Err(format!("{now:?}")) } else { Ok(()) }
        });
        Ok(())
    });
}

/// Nothing is answered to a certificate that has expired, on an old connection or a new one.
fn refused(host: &Host, config: kube::Config) {
    let answer = host.block_on(async {
        let client = kube::Client::try_from(config).expect("client");
        Api::<ConfigMap>::namespaced(client, "default").get("w0").await
    });
    let error = format!("{:?}", answer.expect_err("the first certificate has expired"));
    assert!(error.contains("ertificateExpired") || error.contains("401"), "{error}");
}

fn call(cluster: &Cluster, member: usize, path: &str) -> Result<String, String> {
    let config = cluster.kube_config(member);
    let request = http::Request::get(path).body(Vec::new()).expect("request");
    cluster.members[member].host.block_on(async {
        let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
        client.request_text(request).await.map_err(|e| e.to_string())
    })
}

/// A metric of the first member.
fn metric(cluster: &Cluster, name: &str) -> BTreeMap<&'static str, f64> {
    let text = eventually("metrics", STEP, || call(cluster, 0, "/metrics"));
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    [("0", line.trim().parse().expect("number"))].into()
}

#[test]
fn lifetimes_have_bounds() {
    for (given, ok) in [("1s", false), ("5000d", false), ("soon", false)] {
        let dir = tempfile::tempdir().expect("directory");
        let mut command = std::process::Command::new(KABUKI);
        command.args(["server", "--init", "--name=a", "--certificate-lifetime", given]);
        command.arg(format!("--data-dir={}", dir.path().display()));
        assert_eq!(run(&mut command).is_ok(), ok, "{given}");
    }
}
