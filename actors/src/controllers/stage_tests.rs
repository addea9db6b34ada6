//! The whole control plane on a real single-member store, with pretended kubelets.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use kabuki_api::kind::{
    CONFIG_MAP, DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, EVENT, Kind, LEASE, NAMESPACE, NODE, POD,
    REPLICA_SET, SECRET, SERVICE, SERVICE_ACCOUNT,
};
use kabuki_raft::Store;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    controllers::model::Time,
    kernel::{Kernel, KernelConfig},
    registry::{DeleteOptions, Registry, RegistryConfig, RequestInfo, Subresource, View},
};

/// Pods that were run, for their addresses.
static NUMBER: AtomicU32 = AtomicU32::new(0);

struct Stage {
    registry: Registry,
    kernel: Kernel,
    cut_off: Arc<Mutex<HashSet<&'static str>>>,
    kubelets: Vec<tokio::task::JoinHandle<()>>,
    _dir: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kubelets.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn info() -> RequestInfo {
    RequestInfo::internal("test")
}

async fn stage(nodes: &[&'static str]) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_single(dir.path()).await.unwrap();
    let registry = Registry::new(store, RegistryConfig::default());
    let kernel = Kernel::new(KernelConfig::default()).unwrap();
    let config = ControlConfig {
        root_ca_pem: "CA".into(),
        node_grace: Duration::from_millis(1500),
        settle: Duration::from_secs(1),
        orphan_quarantine: Duration::from_secs(1),
        ..ControlConfig::default()
    };
    let args = LeaderGateArgs { registry: registry.clone(), config };
    kernel.root().start::<LeaderGate>("leader-gate", args, ChildSpec::default());
    let cut_off = Arc::default();
    let kubelets = nodes
        .iter()
        .map(|name| tokio::spawn(kubelet(registry.clone(), name, Arc::clone(&cut_off))))
        .collect();
    Stage { registry, kernel, cut_off, kubelets, _dir: dir }
}

/// Registers a node, renews its lease, makes its pods ready and finishes those that are deleted.
async fn kubelet(
    registry: Registry,
    name: &'static str,
    cut_off: Arc<Mutex<HashSet<&'static str>>>,
) {
    let node = json!({"metadata": {"name": name}, "status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
    while registry.create(&info(), NODE, "", node.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut renewed = Instant::now() - Duration::from_secs(1);
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if cut_off.lock().contains(name) {
            continue;
        }
        if renewed.elapsed() > Duration::from_millis(300) {
            renewed = Instant::now();
            renew(&registry, name).await;
        }
        for pod in registry.list(POD, None) {
            if pod.value()["spec"]["nodeName"] != name {
                continue;
            }
            if pod.is_deleting() {
                let options = DeleteOptions::now(pod.uid());
                drop(registry.delete(&info(), POD, pod.namespace(), pod.name(), &options).await);
            } else if pod.value()["status"]["podIP"].is_null() {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                run(&registry, pod.namespace(), pod.name(), number).await;
            }
        }
    }
}

async fn renew(registry: &Registry, name: &str) {
    let lease = json!({"metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40,
            "renewTime": Time::now().rfc3339_micro()}});
    let info = info();
    if registry.get(LEASE, "kube-node-lease", name).is_none() {
        drop(registry.create(&info, LEASE, "kube-node-lease", lease).await);
    } else {
        let now = Time::now().rfc3339_micro();
        drop(
            registry
                .update_with_retry(LEASE, "kube-node-lease", name, Subresource::Main, |value| {
                    value["spec"]["renewTime"] = now.as_str().into();
                    true
                })
                .await,
        );
    }
    drop(
        registry
            .update_with_retry(NODE, "", name, Subresource::Status, |value| {
                let ready = &mut value["status"]["conditions"][0];
                let changed = ready["status"] != "True";
                ready["status"] = "True".into();
                changed
            })
            .await,
    );
}

async fn run(registry: &Registry, ns: &str, name: &str, number: u32) {
    let now = Time::now().rfc3339();
    drop(
        registry
            .update_with_retry(POD, ns, name, Subresource::Status, |value| {
                let status = &mut value["status"];
                status["phase"] = "Running".into();
                status["podIP"] = format!("10.244.{}.{}", number / 250, number % 250 + 1).into();
                let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
                match status["conditions"].as_array_mut() {
                    Some(list) => list.push(ready),
                    None => status["conditions"] = json!([ready]),
                }
                true
            })
            .await,
    );
}

impl Stage {
    async fn create(&self, kind: &'static Kind, ns: &str, object: Value) {
        for _ in 0..500 {
            match self.registry.create(&info(), kind, ns, object.clone()).await {
                Ok(_) => return,
                // Namespaces and accounts come with the bootstrap.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{:?}", self.registry.create(&info(), kind, ns, object).await);
    }

    async fn until(&self, what: &str, test: impl Fn(&Registry) -> bool) -> Duration {
        let begin = Instant::now();
        while !test(&self.registry) {
            if begin.elapsed() > Duration::from_secs(20) {
                self.give_up(what).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begin.elapsed()
    }

    async fn give_up(&self, what: &str) {
        println!("{}", self.kernel.tree().render_tree());
        for actor in self.kernel.tree().actors() {
            if let Ok(seen) = self.kernel.inspect(&actor.path).await {
                println!("{} {}", actor.path, seen.state);
            }
        }
        for kind in [DEPLOYMENT, REPLICA_SET, POD, ENDPOINTS, ENDPOINT_SLICE, NODE] {
            for object in self.registry.list(kind, None) {
                println!("{}", object.value());
            }
        }
        panic!("never: {what}");
    }

    async fn change(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        change: impl Fn(&mut Value) + Send + Sync,
    ) {
        let main = Subresource::Main;
        let done = |value: &mut Value| {
            change(value);
            true
        };
        self.registry.update_with_retry(kind, ns, name, main, done).await.unwrap();
    }

    async fn apply_web(&self, replicas: i64) {
        let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
        let web = json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "tolerations": [tolerate("node.kubernetes.io/unreachable"), tolerate("node.kubernetes.io/not-ready")],
                "containers": [{"name": "c", "image": "v1", "ports": [{"name": "http", "containerPort": 80}]}]}}}});
        self.create(DEPLOYMENT, "default", web).await;
        let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": "http"}]}});
        self.create(SERVICE, "default", service).await;
    }
}

fn is_available(registry: &Registry, replicas: i64) -> bool {
    registry.get(DEPLOYMENT, "default", "web").is_some_and(|d| {
        let (value, status) = (d.value(), &d.value()["status"]);
        status["observedGeneration"] == value["metadata"]["generation"]
            && ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|n| status[*n].as_i64() == Some(replicas))
    })
}

/// Ready endpoints of service web.
fn ready(registry: &Registry) -> usize {
    let slices = registry.list(ENDPOINT_SLICE, Some("default"));
    let mine = slices.iter().filter(|s| s.labels()["kubernetes.io/service-name"] == "web");
    mine.flat_map(|s| s.value()["endpoints"].as_array().cloned().unwrap_or_default())
        .filter(|e| e["conditions"]["ready"] == true)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_served_rolled_out_and_moved() {
    let stage = stage(&["n1", "n2"]).await;
    stage
        .until("nodes have ranges and no taint", |r| {
            let nodes = r.list(NODE, None);
            let clean = |n: &Value| n["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
            let fits = |n: &Value| n["spec"]["podCIDR"].is_string() && clean(n);
            nodes.len() == 2 && nodes.iter().all(|n| fits(n.value()))
        })
        .await;
    stage.apply_web(4).await;
    let took = stage.until("available", |r| is_available(r, 4) && ready(r) == 4).await;
    println!("apply -> 4 pods available and served: {took:?}");
    let on = |r: &Registry, node: &str| {
        r.list(POD, Some("default"))
            .iter()
            .filter(|p| p.value()["spec"]["nodeName"] == node)
            .count()
    };
    assert_eq!((on(&stage.registry, "n1"), on(&stage.registry, "n2")), (2, 2), "spread");
    stage
        .until("endpoints", |r| {
            r.get(ENDPOINTS, "default", "web").is_some_and(|e| {
                e.value()["subsets"][0]["addresses"].as_array().map(Vec::len) == Some(4)
            })
        })
        .await;
    // A new version.
    stage
        .change(DEPLOYMENT, "default", "web", |v| {
            v["spec"]["template"]["spec"]["containers"][0]["image"] = "v2".into();
        })
        .await;
    stage
        .until("rolled out", |r| {
            is_available(r, 4)
                && r.list(POD, Some("default"))
                    .iter()
                    .all(|p| p.value()["spec"]["containers"][0]["image"] == "v2")
                && ready(r) == 4
        })
        .await;
    assert_eq!(stage.registry.list(REPLICA_SET, Some("default")).len(), 2);
    let deployment = stage.registry.get(DEPLOYMENT, "default", "web").unwrap();
    assert_eq!(deployment.annotation("deployment.kubernetes.io/revision"), Some("2"));
    // A node is cut off.
    stage.cut_off.lock().insert("n2");
    stage.until("endpoints of n2 are gone", |r| ready(r) == 2).await;
    let took = stage.until("moved", |r| on(r, "n1") == 4 && ready(r) == 4).await;
    println!("from unready to moved (tolerationSeconds 1): {took:?}");
    stage.cut_off.lock().clear();
    stage
        .until("n2 is clean again", |r| {
            let node = r.get(NODE, "", "n2").unwrap();
            node.value()["spec"]["taints"].as_array().is_none_or(Vec::is_empty) && on(r, "n2") == 0
        })
        .await;
    // A node is removed.
    stage.cut_off.lock().insert("n1");
    stage.registry.delete(&info(), NODE, "", "n1", &DeleteOptions::background()).await.unwrap();
    stage.until("moved back", |r| on(r, "n2") == 4 && on(r, "n1") == 0 && ready(r) == 4).await;
    // Deleted in the background.
    let options = DeleteOptions::background();
    stage.registry.delete(&info(), DEPLOYMENT, "default", "web", &options).await.unwrap();
    stage
        .until("collected", |r| {
            r.list(REPLICA_SET, None).is_empty() && r.list(POD, None).is_empty()
        })
        .await;
    assert!(!stage.registry.list(EVENT, Some("default")).is_empty());
    stage.kernel.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_come_with_their_objects_and_go_with_everything() {
    let stage = stage(&["n1"]).await;
    stage.create(NAMESPACE, "", json!({"metadata": {"name": "team"}})).await;
    stage
        .until("account and CA", |r| {
            r.get(SERVICE_ACCOUNT, "team", "default").is_some()
                && r.get(CONFIG_MAP, "team", "kube-root-ca.crt")
                    .is_some_and(|m| m.value()["data"]["ca.crt"] == "CA")
        })
        .await;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    stage.create(POD, "team", pod).await;
    stage.create(SECRET, "team", json!({"metadata": {"name": "s"}})).await;
    let unfit = json!({"metadata": {"name": "unfit"}, "spec": {"nodeSelector": {"no": "where"},
        "containers": [{"name": "c", "image": "i"}]}});
    stage.create(POD, "team", unfit).await;
    stage
        .until("scheduled or told", |r| {
            let told = |p: &Value| {
                let all = p["status"]["conditions"].as_array().cloned().unwrap_or_default();
                all.iter().any(|c| c["reason"] == "Unschedulable" && c["message"]
                == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
            };
            r.get(POD, "team", "p").is_some_and(|p| p.value()["status"]["podIP"].is_string())
                && r.get(POD, "team", "unfit").is_some_and(|p| told(p.value()))
        })
        .await;
    let options = DeleteOptions::background();
    stage.registry.delete(&info(), NAMESPACE, "", "team", &options).await.unwrap();
    stage
        .until("gone", |r| {
            r.get(NAMESPACE, "", "team").is_none()
                && r.list(POD, Some("team")).is_empty()
                && r.list(SECRET, Some("team")).is_empty()
                && r.list(CONFIG_MAP, Some("team")).is_empty()
        })
        .await;
    stage.kernel.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_control_actor_may_fall() {
    let stage = stage(&["n1"]).await;
    stage.apply_web(2).await;
    stage.until("available", |r| is_available(r, 2) && ready(r) == 2).await;
    let plane = "/leader-gate/control-plane/";
    let paths: Vec<String> = stage
        .kernel
        .tree()
        .actors()
        .iter()
        .map(|a| a.path.clone())
        .filter(|path| path.contains(plane) || path.ends_with("/leader-gate"))
        .collect();
    assert!(paths.len() > 10, "{paths:?}");
    for (number, path) in paths.iter().enumerate() {
        // While the gate itself comes back, nobody is below it.
        stage.until("it can be crashed", |_| stage.kernel.crash(path).is_ok()).await;
        let replicas = 1 + i64::try_from(number % 3).unwrap();
        stage
            .change(DEPLOYMENT, "default", "web", |v| v["spec"]["replicas"] = replicas.into())
            .await;
        stage
            .until(path, |r| {
                is_available(r, replicas) && ready(r) == usize::try_from(replicas).unwrap()
            })
            .await;
    }
    stage.kernel.shutdown().await;
}
