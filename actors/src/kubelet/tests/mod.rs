//! The actors of a node against a tiny API and a runtime that runs nothing.

mod api;
mod runtime;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use kabuki_runtime::{ContainerState, ContainerStatus, PodSandboxSpec};
use serde_json::{Value, json};

use self::{
    api::Api,
    runtime::{FakeNetwork, FakePod, FakeRuntime},
};
use super::{NodeConfig, NodeHandle, start};
use crate::kernel::{Kernel, KernelConfig};

struct Stage {
    api: Api,
    runtime: Arc<FakeRuntime>,
    kernel: Kernel,
    _node: NodeHandle,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn new(runtime: FakeRuntime, pods: &[Value]) -> Self {
        // A second installation in the same process is no error.
        drop(rustls::crypto::ring::default_provider().install_default());
        let api = Api::start().await;
        for pod in pods {
            api.put(pod.clone());
        }
        let dir = tempfile::tempdir().unwrap();
        let runtime = Arc::new(runtime);
        let url = format!("http://{}", api.address).parse().unwrap();
        let config = NodeConfig {
            name: "n1".to_owned(),
            node_ips: vec![IpAddr::from([192, 168, 0, 1])],
            labels: BTreeMap::new(),
            taints: Vec::new(),
            client: kube::Client::try_from(kube::Config::new(url)).unwrap(),
            runtime: runtime.clone(),
            network: Arc::new(FakeNetwork::default()),
            root: dir.path().join("root"),
            run: dir.path().join("run"),
            log_root: dir.path().join("logs"),
            cluster_dns: IpAddr::from([10, 96, 0, 10]),
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            max_pods: 10,
            insecure_registries: Vec::new(),
            version: "v1.36.0".to_owned(),
        };
        let kernel = Kernel::new(KernelConfig::default()).unwrap();
        let node = start(&kernel.root(), config).await.unwrap();
        Self { api, runtime, kernel, _node: node, _dir: dir }
    }

    fn fake(&self) -> Arc<FakePod> {
        self.runtime.pods.lock().get("u1").cloned().unwrap()
    }

    async fn end(self) {
        self.kernel.shutdown().await;
    }
}

fn pod(image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "u1"},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": image,
            "args": ["$(WHERE)"], "env": [{"name": "WHERE",
                "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}]},
        "status": {"phase": "Pending"}})
}

fn container(pod: Option<&Value>) -> Value {
    pod.map(|p| p["status"]["containerStatuses"][0].clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_restarts_and_is_deleted() {
    let stage = Stage::new(FakeRuntime::default(), &[]).await;
    let began = std::time::Instant::now();
    stage.api.put(pod("img"));
    stage.api.until("p", |p| container(p)["ready"] == true).await;
    println!("bound to Running: {:?}", began.elapsed());
    let status = stage.api.pod("p").unwrap()["status"].clone();
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("10.244.0.5")));
    assert_eq!(stage.fake().specs.lock()[0].args, ["10.244.0.5"]);

    stage.fake().end("a", 1);
    stage.api.until("p", |p| container(p)["restartCount"] == 1).await;
    stage.api.until("p", |p| container(p)["ready"] == true).await;
    assert_eq!(
        container(stage.api.pod("p").as_ref())["lastState"]["terminated"]["reason"],
        "Error"
    );

    stage.api.change("p", |p| {
        p["metadata"]["deletionTimestamp"] = json!("2036-01-01T00:00:00Z");
        p["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    });
    stage.api.until("p", |p| p.is_none()).await;
    assert!(*stage.fake().destroyed.lock());
    for reason in ["Pulled", "Created", "Started", "Killing"] {
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !stage.api.seen.lock().iter().any(|s| s == reason) {
            assert!(std::time::Instant::now() < deadline, "no event {reason}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_reported_and_a_forced_deletion_cleans_up() {
    let stage = Stage::new(FakeRuntime::default(), &[pod("missing")]).await;
    stage.api.until("p", |p| container(p)["state"]["waiting"]["reason"] == "ErrImagePull").await;
    stage
        .api
        .until("p", |p| container(p)["state"]["waiting"]["reason"] == "ImagePullBackOff")
        .await;
    let fake = stage.fake();
    stage.api.remove("p");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while !*fake.destroyed.lock() {
        assert!(std::time::Instant::now() < deadline, "the sandbox is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_pod_is_adopted_and_survives_a_panic_of_its_worker() {
    let spec = PodSandboxSpec { uid: "u1".to_owned(), ..PodSandboxSpec::default() };
    let left = FakePod::new(spec);
    let now = std::time::SystemTime::now();
    left.containers.lock().push(ContainerStatus {
        id: "old".to_owned(),
        name: "a".to_owned(),
        attempt: 2,
        state: ContainerState::Running,
        pid: Some(1),
        created_at: now,
        started_at: Some(now),
        exit: None,
        image: "img".to_owned(),
        image_id: "sha256:1".to_owned(),
        log_path: PathBuf::new(),
        annotations: BTreeMap::new(),
    });
    let runtime = FakeRuntime::default();
    runtime.adoptable.lock().push(left.clone());
    let stage = Stage::new(runtime, &[pod("img")]).await;
    let same = |p: Option<&Value>| {
        container(p)["containerID"] == "kabuki://old" && container(p)["restartCount"] == 2
    };
    stage.api.until("p", same).await;
    stage.kernel.crash("/kubelet/pods/ns/p").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(same(stage.api.pod("p").as_ref()));
    assert_eq!(left.containers.lock().len(), 1);
    left.end("a", 0);
    // It has been restarted twice already: the crash loop goes on where it was.
    let waits =
        |p: Option<&Value>| container(p)["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    stage.api.until("p", waits).await;
    stage.end().await;
}
