//! A member, some nodes and a registry, and a client of their API.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    cluster::{Cluster, KABUKI, Machine},
    eventually,
    host::Lab,
    image::{Format, busybox},
    process::run,
    registry::Registry,
};

/// How long a step may take.
pub const STEP: Duration = Duration::from_secs(60);
/// The image of almost every pod.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// A running cluster.
pub struct Stage {
    pub cluster: Cluster,
    pub registry: Registry,
    /// Hosts of the nodes, in their order.
    pub names: Vec<String>,
}

impl Stage {
    /// Starts a lab 172.31.`net`.0/24 with one member, `nodes` and a registry; waits for the nodes.
    pub fn start(net: u8, nodes: &[&str], flags: &[&str]) -> Self {
        Self::start_with(net, nodes, flags, |_| {})
    }

    /// As [`Stage::start`]; `prepare` gets a node's data directory before the node starts.
    pub fn start_with(net: u8, nodes: &[&str], flags: &[&str], prepare: impl Fn(&Path)) -> Self {
        let hosts = [&["m", "reg"], nodes].concat();
        let lab = Lab::new(net, &hosts);
        let dir = tempfile::Builder::new().prefix("kbreg").tempdir().expect("directory");
        let registry = Registry::start(lab.host("reg"), dir.path());
        // Two ports: the registry's own, and that of a slow way to it.
        let mut cluster = Cluster::new(lab, &registry.name());
        cluster.keep(dir);
        cluster.allow_registry(&format!("{}:5001", cluster.lab.host("reg").address));
        cluster.init("m", flags);
        for node in nodes {
            prepare(&cluster.dir.path().join(node));
            cluster.join_node(node);
        }
        let stage =
            Self { cluster, registry, names: nodes.iter().map(ToString::to_string).collect() };
        for name in &stage.names {
            stage.wait_ready(name);
        }
        stage
    }

    pub fn node(&self, at: usize) -> &Machine {
        &self.cluster.nodes[at]
    }

    /// Loads busybox into a node's store.
    pub fn load_busybox(&self, node: usize) {
        let path = self.cluster.dir.path().join("busybox.tar");
        std::fs::write(&path, busybox(Format::Oci).oci_archive(BUSYBOX)).expect("archive");
        let machine = self.node(node);
        let mut command = machine.host.command(KABUKI);
        command.args(["image", "load"]).arg(&path);
        command.arg(format!("--data-dir={}", machine.data_dir.display()));
        run(&mut command).expect("load");
    }

    /// One request as the administrator.
    pub fn call(&self, verb: &str, path: &str, kind: &str, body: &str) -> Result<String, String> {
        let mut answers = self.call_all(&[(verb, path.to_owned(), body.to_owned())], kind);
        answers.pop().expect("an answer")
    }

    /// Several requests over one connection, one after the other.
    fn call_all(
        &self,
        requests: &[(&str, String, String)],
        kind: &str,
    ) -> Vec<Result<String, String>> {
        let config = self.cluster.kube_config(0);
        self.cluster.members[0].host.block_on(async {
            let client = kube::Client::try_from(config).expect("client");
            let mut answers = Vec::new();
            for (verb, path, body) in requests {
                let request = http::Request::builder()
                    .method(*verb)
                    .uri(path)
                    .header("content-type", kind)
                    .body(body.as_bytes().to_vec())
                    .expect("request");
                answers.push(client.request_text(request).await.map_err(|e| e.to_string()));
            }
            answers
        })
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        let text = self.call("GET", path, "application/json", "")?;
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    }

    pub fn pods(&self) -> Result<Vec<Value>, String> {
        let list = self.get("/api/v1/namespaces/default/pods")?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    pub fn pod(&self, name: &str) -> Result<Value, String> {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    pub fn create_pod(&self, pod: &NewPod) {
        self.create_pods(std::slice::from_ref(pod));
    }

    pub fn create_pods(&self, pods: &[NewPod]) {
        let path = "/api/v1/namespaces/default/pods";
        let requests: Vec<_> =
            pods.iter().map(|p| ("POST", path.to_owned(), p.json().to_string())).collect();
        for answer in self.call_all(&requests, "application/json") {
            answer.unwrap_or_else(|e| panic!("create: {e}"));
        }
    }

    /// Deletes pods without grace.
    pub fn delete_pods(&self, names: &[String]) {
        let path =
            |name: &String| format!("/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0");
        let requests: Vec<_> = names.iter().map(|n| ("DELETE", path(n), String::new())).collect();
        for answer in self.call_all(&requests, "application/json") {
            answer.unwrap_or_else(|e| panic!("delete: {e}"));
        }
    }

    pub fn create(&self, path: &str, object: &Value) {
        self.call("POST", path, "application/json", &object.to_string())
            .unwrap_or_else(|e| panic!("{object}: {e}"));
    }

    /// Deletes every deployment and pod and waits until they are gone.
    pub fn delete_all(&self) {
        let sets = "/apis/apps/v1/namespaces/default/deployments";
        for set in self.get(sets).expect("list")["items"].as_array().into_iter().flatten() {
            let path = format!("{sets}/{}", set["metadata"]["name"].as_str().expect("name"));
            self.call("DELETE", &path, "application/json", "").expect("delete");
        }
        let path = "/api/v1/namespaces/default/pods?gracePeriodSeconds=0";
        eventually("every pod is gone from the API", STEP, || {
            self.call("DELETE", path, "application/json", "")?;
            let left = self.pods()?;
            if left.is_empty() { Ok(()) } else { Err(states(&left)) }
        });
    }

    /// Waits until a pod satisfies `check`.
    pub fn pod_until(&self, what: &str, name: &str, check: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("pod {name}: {what}"), STEP, || {
            let pod = self.pod(name)?;
            if check(&pod) { Ok(pod) } else { Err(pod["status"].to_string()) }
        })
    }

    /// Waits until a node is Ready; answers how long that took.
    pub fn wait_ready(&self, name: &str) -> Duration {
        let begin = Instant::now();
        eventually(&format!("node {name} is Ready"), STEP, || {
            let node = self.get(&format!("/api/v1/nodes/{name}"))?;
            let tainted = node["spec"]["taints"].as_array().is_some_and(|t| !t.is_empty());
            if condition(&node, "Ready") && !tainted { Ok(()) } else { Err(node.to_string()) }
        });
        begin.elapsed()
    }

    /// When a node's status was last posted.
    pub fn heartbeat(&self, name: &str) -> Result<String, String> {
        let node = self.get(&format!("/api/v1/nodes/{name}"))?;
        let all = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = all.iter().find(|c| c["type"] == "Ready").cloned().unwrap_or_default();
        Ok(ready["lastHeartbeatTime"].as_str().unwrap_or_default().to_owned())
    }

    /// The run directory of a node.
    pub fn run_dir(&self, node: usize) -> PathBuf {
        crate::support::cluster::run_dir(&self.node(node).data_dir)
    }
}

/// A pod to be made.
pub struct NewPod {
    pub name: String,
    pub node: Option<String>,
    pub policy: &'static str,
    pub image: String,
    pub script: String,
    /// Seconds a pod stays on a node that is not ready.
    pub toleration: u64,
}

impl NewPod {
    pub fn new(name: &str, policy: &'static str, script: &str) -> Self {
        Self {
            name: name.to_owned(),
            node: None,
            policy,
            image: BUSYBOX.to_owned(),
            script: script.to_owned(),
            toleration: 300,
        }
    }

    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    pub fn spec(&self) -> Value {
        let tolerations: Vec<Value> = ["unreachable", "not-ready"]
            .iter()
            .map(|key| {
                json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": self.toleration})
            })
            .collect();
        json!({
            "restartPolicy": self.policy,
            "terminationGracePeriodSeconds": 0,
            "nodeName": self.node,
            "tolerations": tolerations,
            "containers": [{
                "name": "c", "image": self.image, "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", self.script],
                "volumeMounts": [{"name": "d", "mountPath": "/d"}],
            }],
            "volumes": [{"name": "d", "emptyDir": {}}],
        })
    }

    fn json(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name},
            "spec": self.spec()})
    }
}

/// The status of the first container of a pod.
pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

pub fn restarts(pod: &Value) -> u64 {
    container(pod)["restartCount"].as_u64().unwrap_or(0)
}

pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

pub fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

/// True when a condition of an object is True.
pub fn condition(object: &Value, name: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == name && c["status"] == "True"))
}

/// Names and phases, for a failing test.
pub fn states(pods: &[Value]) -> String {
    let each = pods.iter().map(|p| {
        let deleted = if p["metadata"]["deletionTimestamp"].is_null() { "" } else { " deleted" };
        format!("{} {}{deleted} {}", name(p), p["status"]["phase"], container(p)["state"])
    });
    each.collect::<Vec<_>>().join("\n")
}
