//! The control plane, pretended kubelets and users, on virtual time.

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use kabuki_api::{
    kind::{EVENT, Kind, LEASE, NODE, POD},
    status::Status,
};
use kabuki_raft::Store;
use parking_lot::Mutex;
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    controllers::{ControlConfig, LeaderGate, LeaderGateArgs, model::Time},
    kernel::{ChildSpec, TestKit},
    registry::{
        DeleteOptions, Object, Registry, RegistryConfig, RequestInfo, Subresource, View,
        faults::{Door, Line},
    },
};

thread_local! {
    static EPOCH: Cell<Option<(SystemTime, Instant)>> = const { Cell::new(None) };
}

/// The registry's clock: the wall clock at the start, moving with virtual time.
fn clock() -> OffsetDateTime {
    let now = EPOCH.get().map_or_else(SystemTime::now, |(wall, at)| wall + at.elapsed());
    now.into()
}

pub(super) fn now() -> Time {
    SystemTime::from(clock()).into()
}

/// A cluster in a test.
#[derive(Clone)]
pub(crate) struct World {
    pub kit: TestKit,
    pub store: Store,
    pub line: Arc<Line>,
    /// Of the control plane.
    pub door: Arc<Door>,
    /// Of users and kubelets: in order with the control plane's writes, else without faults.
    pub users: Registry,
    /// Nodes that are silent.
    pub cut_off: Arc<Mutex<BTreeSet<String>>>,
    started: Rc<Cell<u32>>,
    crashed: Rc<Cell<u32>>,
    begun: (Instant, std::time::Instant),
}

/// Runs a test body with a fresh cluster.
pub(super) fn run<F>(seed: u64, nodes: &'static [&'static str], test: impl FnOnce(World) -> F)
where
    F: Future<Output = ()>,
{
    let dir = tempfile::tempdir().unwrap();
    let plain = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = plain.block_on(Store::open_single(dir.path())).unwrap();
    TestKit::run(|kit| async move {
        EPOCH.set(Some((SystemTime::now(), Instant::now())));
        let line = Line::open(&store, seed);
        let door = Door::new(&line);
        let cfg = RegistryConfig { now: clock, ..RegistryConfig::default() };
        let registry = Registry::new(store.clone(), cfg);
        let config = ControlConfig { root_ca_pem: "CA".into(), ..ControlConfig::default() };
        let args = LeaderGateArgs { registry: registry.behind(Arc::clone(&door)), config };
        kit.root().start::<LeaderGate>("leader-gate", args, ChildSpec::default());
        let world = World {
            kit,
            store,
            users: registry.behind(Door::new(&line)),
            line,
            door,
            cut_off: Arc::default(),
            started: Rc::default(),
            crashed: Rc::default(),
            begun: (Instant::now(), std::time::Instant::now()),
        };
        for name in nodes {
            world.join(name);
        }
        test(world).await;
    });
    drop(plain);
}

fn info() -> RequestInfo {
    RequestInfo::internal("test")
}

impl World {
    /// A node joins and plays its part from now on.
    pub fn join(&self, name: &str) {
        tokio::task::spawn_local(kubelet(self.clone(), name.to_owned()));
    }

    /// Makes an actor of the control plane panic.
    pub fn crash_one(&self, rng: &mut StdRng) {
        let actors = self.kit.kernel().tree();
        let paths: Vec<String> = actors.actors().iter().map(|a| a.path.clone()).collect();
        if paths.is_empty() {
            return;
        }
        let path = &paths[rng.random_range(0..paths.len())];
        if self.kit.kernel().crash(path).is_ok() {
            self.crashed.set(self.crashed.get() + 1);
        }
    }

    pub async fn leads_again(&self) {
        if !self.door.leadership().borrow().is_local {
            self.line.depose(Duration::ZERO).await;
        }
    }

    /// Waits until `check` finds nothing missing.
    pub async fn until(&self, limit: Duration, seed: u64, check: impl Fn() -> Result<(), String>) {
        let end = Instant::now() + limit;
        while let Err(why) = check() {
            if Instant::now() > end {
                self.give_up(seed, &why).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn give_up(&self, seed: u64, why: &str) -> ! {
        for actor in self.kit.kernel().tree().actors() {
            if let Ok(seen) = self.kit.kernel().inspect(&actor.path).await {
                println!("{} {}", actor.path, seen.state);
            }
        }
        for event in self.users.list(EVENT, None) {
            let value = event.value();
            if value["type"] == "Warning" {
                println!(
                    "{} {} {}",
                    value["involvedObject"]["name"], value["reason"], value["message"]
                );
            }
        }
        println!("{}", self.summary());
        panic!("seed {seed}: {why}");
    }

    pub fn summary(&self) -> String {
        let (virtual_time, real) = (self.begun.0.elapsed(), self.begun.1.elapsed());
        format!(
            "{} s of virtual time in {} ms, {} writes of the control plane tried, {} panics",
            virtual_time.as_secs(),
            real.as_millis(),
            self.door.attempts(),
            self.crashed.get()
        )
    }

    /// Writes of events since the last call; they are not worth being counted one by one.
    pub fn events_written(&self) -> u64 {
        self.door.take_events()
    }

    /// A user's create: tried until the object is there.
    pub async fn create(&self, kind: &'static Kind, ns: &str, object: Value) {
        self.insist(|| async {
            match self.users.create(&info(), kind, ns, object.clone()).await {
                Err(status) if !status.is_already_exists() => Err(status),
                _ => Ok(()),
            }
        })
        .await;
    }

    /// A user's delete: tried until the object is gone or going.
    pub async fn delete(&self, object: &Object, options: DeleteOptions) {
        let options = DeleteOptions { uid: Some(object.uid().to_owned()), ..options };
        let (kind, ns, name) = (object.kind(), object.namespace(), object.name());
        self.insist(|| async {
            match self.users.delete(&info(), kind, ns, name, &options).await {
                Err(status) if !status.is_not_found() && !status.is_conflict() => Err(status),
                _ => Ok(()),
            }
        })
        .await;
    }

    /// A user's change: tried until it is made, or there is nothing to change.
    pub async fn change(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        sub: Subresource,
        change: impl Fn(&mut Value) + Send + Sync,
    ) {
        let change = |value: &mut Value| {
            let before = value.clone();
            change(value);
            *value != before
        };
        self.insist(|| async {
            match self.users.update_with_retry(kind, ns, name, sub, &change).await {
                Err(status) if !status.is_not_found() => Err(status),
                _ => Ok(()),
            }
        })
        .await;
    }

    async fn insist<F>(&self, attempt: impl Fn() -> F)
    where
        F: Future<Output = Result<(), Status>>,
    {
        for _ in 0..2_000 {
            match attempt().await {
                Ok(()) => return,
                // Namespaces and accounts come with the bootstrap.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        panic!("a user never succeeds: {:?}", attempt().await);
    }

    /// Objects as the store has them now.
    pub fn objects(&self, kind: &'static Kind, ns: Option<&str>) -> Vec<Arc<Object>> {
        self.users.list(kind, ns)
    }

    pub fn object(&self, kind: &'static Kind, ns: &str, name: &str) -> Option<Arc<Object>> {
        self.users.get(kind, ns, name)
    }

    fn next_number(&self) -> u32 {
        self.started.set(self.started.get() + 1);
        self.started.get()
    }
}

/// Registers a node, renews its lease, makes its pods ready after a while and finishes those that
/// are deleted.
async fn kubelet(world: World, name: String) {
    let node = json!({"metadata": {"name": name}, "status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
    world.create(NODE, "", node).await;
    let mut renewed = Instant::now() - Duration::from_secs(60);
    for turn in 0_u64.. {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if world.cut_off.lock().contains(&name) {
            continue;
        }
        if renewed.elapsed() > Duration::from_secs(10) {
            renewed = Instant::now();
            renew(&world, &name).await;
        }
        for pod in world.users.list(POD, None) {
            if pod.value()["spec"]["nodeName"] != name.as_str() {
                continue;
            }
            if pod.is_deleting() {
                let options = DeleteOptions::now(pod.uid());
                drop(world.users.delete(&info(), POD, pod.namespace(), pod.name(), &options).await);
            } else if pod.value()["status"]["podIP"].is_null() && turn % 5 == 0 {
                start(&world, &pod).await;
            }
        }
    }
}

async fn renew(world: &World, name: &str) {
    const LEASES: &str = "kube-node-lease";
    let stamp = now().rfc3339_micro();
    let lease = json!({"metadata": {"name": name, "namespace": LEASES},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": stamp}});
    if world.object(LEASE, LEASES, name).is_none() {
        drop(world.users.create(&info(), LEASE, LEASES, lease).await);
    } else {
        let renew = |value: &mut Value| {
            value["spec"]["renewTime"] = stamp.as_str().into();
            true
        };
        let main = Subresource::Main;
        drop(world.users.update_with_retry(LEASE, LEASES, name, main, renew).await);
    }
    let ready = |value: &mut Value| {
        let ready = &mut value["status"]["conditions"][0];
        let changed = ready["status"] != "True";
        ready["status"] = "True".into();
        changed
    };
    drop(world.users.update_with_retry(NODE, "", name, Subresource::Status, ready).await);
}

async fn start(world: &World, pod: &Object) {
    let number = world.next_number();
    let uid = pod.uid().to_owned();
    let run = |value: &mut Value| {
        if value["metadata"]["uid"] != uid.as_str() {
            return false;
        }
        let status = &mut value["status"];
        status["phase"] = "Running".into();
        status["podIP"] = format!("10.244.{}.{}", number / 250, number % 250 + 1).into();
        let ready =
            json!({"type": "Ready", "status": "True", "lastTransitionTime": now().rfc3339()});
        match status["conditions"].as_array_mut() {
            Some(list) => list.push(ready),
            None => status["conditions"] = json!([ready]),
        }
        true
    };
    let (ns, name) = (pod.namespace(), pod.name());
    drop(world.users.update_with_retry(POD, ns, name, Subresource::Status, run).await);
}
