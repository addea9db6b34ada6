//! The main job on five hosts: three members and two nodes of the real binary, a guestbook served by
//! real containers, and the faults a cluster must shrug off.

mod support;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use kube::api::{Api, DynamicObject, ListParams};
use support::{
    cluster::Cluster,
    eventually,
    host::Lab,
    image::{Format, busybox, nginx},
    kubectl::{Kubectl, installed},
    registry::Registry,
};

/// How long a step of the job may take.
const STEP: Duration = Duration::from_secs(40);

/// Everything the steps share.
struct Stage {
    cluster: Cluster,
    _registry: Registry,
    manifests: PathBuf,
    kubectl: Vec<PathBuf>,
    deleted: bool,
}

#[test]
fn a_quorum_serves_a_guestbook_through_faults() {
    if !support::is_root() {
        eprintln!("skipped: needs root for namespaces, mounts and cgroups");
        return;
    }
    let mut stage = Stage::set_up();
    stage.apply_and_read();
    stage.roll_out_a_change();
    stage.kill_the_leader();
    stage.kill_a_node_daemon();
    stage.panic_actors();
    stage.cut_off_a_node();
    stage.delete_and_leave_nothing();
}

impl Stage {
    fn set_up() -> Self {
        let lab = Lab::new(21, &["m1", "m2", "m3", "n1", "n2", "reg"]);
        let reg_dir = tempfile::tempdir().expect("directory");
        let registry = Registry::start(lab.host("reg"), &reg_dir.keep());
        let mut cluster = Cluster::new(lab, &registry.name());
        let nginx = registry.push(&nginx(Format::Docker), "nginx", "1");
        let busybox = registry.push(&busybox(Format::Oci), "busybox", "1");
        let manifests = cluster.dir.path().join("guestbook");
        copy_manifests(&manifests, &nginx, &busybox);

        // A node counts as lost after a few seconds, so that the test need not wait for forty.
        let short = ["--node-monitor-grace-period=4"];
        cluster.init("m1", &short);
        cluster.join_member("m2", &short);
        cluster.join_member("m3", &short);
        cluster.join_node("n1");
        cluster.join_node("n2");
        let stage =
            Self { cluster, _registry: registry, manifests, kubectl: installed(), deleted: false };
        eventually("two nodes are Ready", STEP, || {
            let ready = stage.objects("v1", "Node").iter().filter(|n| is_true(n, "Ready")).count();
            if ready == 2 { Ok(()) } else { Err(format!("{ready} ready")) }
        });
        stage
    }

    fn apply_and_read(&self) {
        self.apply();
        self.wait_available("guestbook");
        self.wait_available("visitor");
        if let Some(kubectl) = self.newest_kubectl(0) {
            kubectl.ok("rollout status deployment/guestbook --timeout=30s");
            kubectl.ok("wait --for=condition=Available deployment/visitor --timeout=30s");
        }
        self.visitor_reads("Kabuki was here.");
        let servers = self.pods("app=guestbook");
        let visitor = &self.pods("app=visitor")[0];
        let far = servers
            .iter()
            .find(|p| p.data["spec"]["nodeName"] != visitor.data["spec"]["nodeName"])
            .expect("a guestbook pod on the other node");
        let name = far.metadata.name.clone().expect("name");
        let address = visitor.data["status"]["podIP"].as_str().expect("pod address").to_string();
        eventually("the server on the other node has seen the visitor", STEP, || {
            let path = format!("/api/v1/namespaces/default/pods/{name}/log");
            let text = self.call(self.leader(), "GET", &path, None)?;
            if text.lines().any(|l| l.starts_with(&address)) { Ok(()) } else { Err(text) }
        });
    }

    fn roll_out_a_change(&self) {
        let file = self.manifests.join("guestbook.yaml");
        let text = std::fs::read_to_string(&file).expect("manifest");
        let changed = text
            .replace("Kabuki was here.", "Kabuki was here twice.")
            .replace("cpu: 50m", "cpu: 60m");
        std::fs::write(&file, changed).expect("manifest");
        let before = self.uids("app=guestbook");
        self.apply();
        eventually("the change is rolled out", STEP, || {
            let now = self.uids("app=guestbook");
            let replaced = now.len() == 2 && now.keys().all(|uid| !before.contains_key(uid));
            if replaced { Ok(()) } else { Err(format!("{before:?} -> {now:?}")) }
        });
        self.wait_available("guestbook");
        self.visitor_reads("Kabuki was here twice.");
    }

    fn kill_the_leader(&mut self) {
        let before = self.restarts();
        let leader = self.leader();
        self.cluster.members[leader].process.kill();
        let other = (leader + 1) % self.cluster.members.len();
        eventually("a write is taken by the new leader", Duration::from_secs(10), || {
            self.call(
                other,
                "POST",
                "/api/v1/namespaces/default/configmaps",
                Some(
                    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"after-leader"}}"#,
                ),
            )
        });
        self.scale(other, "guestbook", 3);
        eventually("controllers go on", STEP, || {
            let pods = self.pods_at(other, "app=guestbook");
            let ready = pods.iter().filter(|p| is_true(p, "Ready")).count();
            if ready == 3 { Ok(()) } else { Err(format!("{ready} ready")) }
        });
        self.cluster.members[leader].restart();
        self.cluster.members[leader].wait_ready();
        self.assert_no_restart(&before);
    }

    fn kill_a_node_daemon(&mut self) {
        let before = self.restarts();
        self.cluster.nodes[0].process.kill();
        std::thread::sleep(Duration::from_secs(1));
        self.cluster.nodes[0].restart();
        eventually("both nodes are Ready again", STEP, || {
            let ready = self.objects("v1", "Node").iter().filter(|n| is_true(n, "Ready")).count();
            if ready == 2 { Ok(()) } else { Err(format!("{ready} ready")) }
        });
        self.wait_available("guestbook");
        // The kubelet has written its statuses by now; a container it had lost would show here.
        std::thread::sleep(Duration::from_secs(3));
        self.assert_no_restart(&before);
        self.visitor_reads("Kabuki was here twice.");
    }

    /// Makes one actor after another panic, on the leader, and looks for the restart in the tree.
    fn panic_actors(&self) {
        let leader = self.leader();
        let actors = self.actors(leader);
        let wanted = ["deployment", "replicaset", "scheduler", "endpointslice", "leader-gate"];
        for name in wanted {
            let (path, before) = actors
                .iter()
                .find(|(path, _)| path.ends_with(&format!("/{name}")))
                .unwrap_or_else(|| panic!("no actor {name} in {actors:?}"));
            let url = format!("/debug/actors{path}/panic");
            self.call(leader, "POST", &url, Some("{}")).unwrap_or_else(|e| panic!("{url}: {e}"));
            eventually(&format!("{path} was restarted"), STEP, || {
                match self.actors(leader).get(path) {
                    Some(restarts) if restarts > before => Ok(()),
                    other => Err(format!("restarts {other:?}, before {before}")),
                }
            });
        }
        self.scale(leader, "guestbook", 2);
        eventually("the cluster still does its job", STEP, || {
            let count = self.pods("app=guestbook").len();
            if count == 2 { Ok(()) } else { Err(format!("{count} pods")) }
        });
    }

    fn cut_off_a_node(&mut self) {
        let visitor = self.pods("app=visitor")[0].data["spec"]["nodeName"].clone();
        let node = visitor.as_str().expect("a node").to_string();
        let host = self.cluster.lab.host(&node).clone();
        host.unplug();
        eventually("the visitor runs on the other node", Duration::from_secs(60), || {
            let pods = self.pods("app=visitor");
            let moved = pods
                .iter()
                .any(|p| p.data["spec"]["nodeName"] != node.as_str() && is_true(p, "Ready"));
            if moved { Ok(()) } else { Err(format!("{} pods", pods.len())) }
        });
        host.plug();
        eventually("the node is Ready again", STEP, || {
            let ready = self.objects("v1", "Node").iter().filter(|n| is_true(n, "Ready")).count();
            if ready == 2 { Ok(()) } else { Err(format!("{ready} ready")) }
        });
        eventually("one visitor is left", STEP, || {
            let count = self.pods("app=visitor").len();
            if count == 1 { Ok(()) } else { Err(format!("{count} pods")) }
        });
    }

    fn delete_and_leave_nothing(&mut self) {
        if let Some(kubectl) = self.newest_kubectl(0) {
            kubectl.ok(&format!("delete -f {} --timeout=60s", self.manifests.display()));
        } else {
            self.delete_with_kube();
        }
        self.deleted = true;
        eventually("all pods are gone", STEP, || {
            let count = self.pods("app in (guestbook,visitor)").len();
            if count == 0 { Ok(()) } else { Err(format!("{count} pods")) }
        });
        eventually("nothing of the pods is left", STEP, || {
            let left = self.leftovers();
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }

    // --- clients ---

    fn newest_kubectl(&self, member: usize) -> Option<Kubectl> {
        self.kubectl.last().map(|program| self.cluster.kubectl(program, member))
    }

    fn apply(&self) {
        match self.newest_kubectl(0) {
            Some(kubectl) => {
                kubectl.ok(&format!("apply -f {}", self.manifests.display()));
            }
            None => self.apply_with_kube(),
        }
    }

    fn documents(&self) -> Vec<DynamicObject> {
        let text =
            std::fs::read_to_string(self.manifests.join("guestbook.yaml")).expect("manifest");
        serde_yaml::Deserializer::from_str(&text)
            .map(|d| serde::Deserialize::deserialize(d).expect("object"))
            .collect()
    }

    fn apply_with_kube(&self) {
        for object in self.documents() {
            let types = object.types.clone().expect("types");
            let path = collection(&types.api_version, &types.kind);
            let name = object.metadata.name.clone().expect("name");
            let body = serde_json::to_string(&object).expect("json");
            let existing = self.call(0, "GET", &format!("{path}/{name}"), None);
            let result = match existing {
                Ok(_) => self.patch(&format!("{path}/{name}"), &body),
                Err(_) => self.call(0, "POST", &path, Some(&body)),
            };
            result.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    fn delete_with_kube(&self) {
        for object in self.documents() {
            let types = object.types.clone().expect("types");
            let path = collection(&types.api_version, &types.kind);
            let name = object.metadata.name.expect("name");
            self.call(0, "DELETE", &format!("{path}/{name}"), None).expect("delete");
        }
    }

    fn patch(&self, path: &str, body: &str) -> Result<String, String> {
        self.request(0, "PATCH", path, "application/strategic-merge-patch+json", body)
    }

    fn call(
        &self,
        member: usize,
        verb: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<String, String> {
        self.request(member, verb, path, "application/json", body.unwrap_or(""))
    }

    fn request(
        &self,
        member: usize,
        verb: &str,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> Result<String, String> {
        let config = self.cluster.kube_config(member);
        let request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("content-type", content_type)
            .body(body.as_bytes().to_vec())
            .expect("request");
        self.cluster.members[member].host.block_on(async {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            client.request_text(request).await.map_err(|e| e.to_string())
        })
    }

    fn scale(&self, member: usize, deployment: &str, replicas: u32) {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{deployment}/scale");
        let body = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
        eventually("scale", Duration::from_secs(10), || {
            self.request(member, "PATCH", &path, "application/merge-patch+json", &body)
        });
    }

    // --- what is there ---

    fn live_member(&self) -> usize {
        self.leader()
    }

    fn objects(&self, version: &str, kind: &str) -> Vec<DynamicObject> {
        self.list(self.live_member(), version, kind, "").unwrap_or_default()
    }

    fn pods(&self, selector: &str) -> Vec<DynamicObject> {
        self.pods_at(self.live_member(), selector)
    }

    fn pods_at(&self, member: usize, selector: &str) -> Vec<DynamicObject> {
        self.list(member, "v1", "Pod", selector).unwrap_or_default()
    }

    fn list(
        &self,
        member: usize,
        version: &str,
        kind: &str,
        selector: &str,
    ) -> Result<Vec<DynamicObject>, String> {
        let config = self.cluster.kube_config(member);
        let gvk = kube::core::GroupVersionKind::gvk("", version, kind);
        let resource = kube::core::ApiResource::from_gvk(&gvk);
        self.cluster.members[member].host.block_on(async {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            let api: Api<DynamicObject> = Api::all_with(client, &resource);
            let params = ListParams::default().labels(selector);
            api.list(&params).await.map(|l| l.items).map_err(|e| e.to_string())
        })
    }

    /// The member that leads, by what the first member that answers says.
    fn leader(&self) -> usize {
        eventually("a leader is known", STEP, || {
            for member in 0..self.cluster.members.len() {
                let Ok(text) = self.call(member, "GET", "/metrics", None) else { continue };
                if text.lines().any(|l| l.trim() == "kabuki_store_is_leader 1") {
                    return Ok(member);
                }
            }
            Err("no member says that it leads".to_string())
        })
    }

    /// Path and restarts of every actor of a member.
    fn actors(&self, member: usize) -> BTreeMap<String, u64> {
        let text = self.call(member, "GET", "/debug/actors", None).expect("actors");
        let tree: serde_json::Value = serde_json::from_str(&text).expect("json");
        let mut actors = BTreeMap::new();
        collect_actors(&tree, &mut actors);
        actors
    }

    fn uids(&self, selector: &str) -> BTreeMap<String, String> {
        self.pods(selector)
            .iter()
            .map(|p| {
                (
                    p.metadata.uid.clone().unwrap_or_default(),
                    p.metadata.name.clone().unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Container ids and restart counts of every pod of the job, by pod uid.
    fn restarts(&self) -> BTreeMap<String, String> {
        self.pods("app in (guestbook,visitor)")
            .iter()
            .map(|p| {
                let status = &p.data["status"]["containerStatuses"][0];
                let text = format!("{} {}", status["containerID"], status["restartCount"]);
                (p.metadata.uid.clone().unwrap_or_default(), text)
            })
            .collect()
    }

    fn assert_no_restart(&self, before: &BTreeMap<String, String>) {
        let now = self.restarts();
        for (uid, containers) in before {
            assert_eq!(Some(containers), now.get(uid), "pod {uid} lost or restarted a container");
        }
    }

    fn wait_available(&self, deployment: &str) {
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{deployment}");
        eventually(&format!("{deployment} is available"), STEP, || {
            let text = self.call(self.live_member(), "GET", &path, None)?;
            let value: serde_json::Value =
                serde_json::from_str(&text).map_err(|e| e.to_string())?;
            let (spec, status) = (&value["spec"], &value["status"]);
            let done = status["observedGeneration"] == value["metadata"]["generation"]
                && status["updatedReplicas"] == spec["replicas"]
                && status["replicas"] == spec["replicas"]
                && status["availableReplicas"] == spec["replicas"];
            if done { Ok(()) } else { Err(format!("{status}")) }
        });
    }

    fn visitor_reads(&self, words: &str) {
        eventually(&format!("the visitor reads {words:?}"), STEP, || {
            let pods = self.pods("app=visitor");
            let name = pods.first().and_then(|p| p.metadata.name.clone()).ok_or("no visitor")?;
            let path = format!("/api/v1/namespaces/default/pods/{name}/log?tailLines=5");
            let text = self.call(self.live_member(), "GET", &path, None)?;
            if text.contains(words) { Ok(()) } else { Err(text) }
        });
    }

    /// What pods left on the nodes: cgroups, mounts, namespaces, veths, nftables elements, directories.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        for node in &self.cluster.nodes {
            let data = node.data_dir.display().to_string();
            let run = support::cluster::run_dir(&node.data_dir);
            left.extend(
                mounts
                    .lines()
                    .filter(|l| {
                        l.contains(&format!("{data}/"))
                            || l.contains(&format!("{}/", run.display()))
                    })
                    .map(|l| format!("mount {l}")),
            );
            let root = support::cluster::cgroup_root(&node.data_dir);
            left.extend(
                support::cluster::pod_cgroups(&root).into_iter().map(|c| format!("cgroup {c}")),
            );
            for command in ["ip -o link show type veth", "nft list table ip kabuki"] {
                let mut words = command.split(' ');
                let mut c = node.host.command(words.next().expect("word"));
                let text = support::process::run(c.args(words)).unwrap_or_default();
                if command.starts_with("ip") {
                    // eth0 is the host's own cable.
                    left.extend(
                        text.lines().filter(|l| !l.contains("eth0")).map(|l| format!("veth {l}")),
                    );
                } else if text.contains("guestbook") {
                    left.push(format!("nft {text}"));
                }
            }
            let (root, run) = (node.data_dir.join("node"), &run);
            for dir in ["pods", "pod-data"].map(|d| root.join(d)) {
                left.extend(entries(&dir));
            }
            for dir in ["pods", "volumes"].map(|d| run.join(d)) {
                left.extend(entries(&dir));
            }
        }
        left
    }
}

fn entries(dir: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| format!("directory {}", e.path().display()))
        .collect()
}

fn is_true(object: &DynamicObject, condition: &str) -> bool {
    object.data["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == condition && c["status"] == "True"))
}

fn collection(api_version: &str, kind: &str) -> String {
    let plural = format!("{}s", kind.to_lowercase());
    let base =
        if api_version == "v1" { "/api/v1".to_string() } else { format!("/apis/{api_version}") };
    format!("{base}/namespaces/default/{plural}")
}

fn collect_actors(value: &serde_json::Value, actors: &mut BTreeMap<String, u64>) {
    match value {
        serde_json::Value::Object(map) => {
            if map.contains_key("incarnation")
                && let (Some(path), Some(restarts)) = (map.get("path"), map.get("restarts"))
                && let (Some(path), Some(restarts)) = (path.as_str(), restarts.as_u64())
            {
                actors.insert(path.to_string(), restarts);
            }
            map.values().for_each(|v| collect_actors(v, actors));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|v| collect_actors(v, actors)),
        _ => {}
    }
}

/// The guestbook with the images of the test's registry, and tolerations short enough for a test.
fn copy_manifests(to: &std::path::Path, nginx: &str, busybox: &str) {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/guestbook/guestbook.yaml");
    let tolerations = "      tolerations:\n\
        \x20       - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}\n\
        \x20       - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}\n\
        \x20     terminationGracePeriodSeconds:";
    let text = std::fs::read_to_string(from)
        .expect("example")
        .replace("localhost/nginx:1", nginx)
        .replace("localhost/busybox:1", busybox)
        .replace("      terminationGracePeriodSeconds:", tolerations);
    std::fs::create_dir_all(to).expect("directory");
    std::fs::write(to.join("guestbook.yaml"), text).expect("manifest");
}
