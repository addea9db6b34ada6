//! What all actors of a node share.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Pod, PodStatus},
    jiff::Timestamp,
};
use kabuki_runtime::PodEvent;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast, watch};

use super::{
    config::NodeConfig,
    env::ServiceEntry,
    events::Recorder,
    node::{NodeFacts, Pressure},
    objects::Objects,
    pod_view::PodView,
    sandbox::PodSandbox,
    volumes::Tokens,
};

/// Image pulls at once on one node.
const MAX_PULLS: usize = 4;
/// Events of one pod not yet seen by its worker.
const EVENT_BUFFER: usize = 256;
/// Longest HTTP probe connection kept idle; probes come every few seconds at best.
const PROBE_IDLE: Duration = Duration::from_secs(0);

/// A sandbox, and where its events can be heard again after a worker's restart.
#[derive(Clone)]
pub struct SandboxEntry {
    /// The sandbox.
    pub sandbox: Arc<dyn PodSandbox>,
    /// Its events.
    pub events: broadcast::Sender<PodEvent>,
}

/// Work for one pod that outlives the worker that began it.
#[derive(Default)]
pub(super) struct PodWork {
    /// Held for reading by whatever changes the pod's sandbox, volumes or containers. That goes on
    /// when its worker panics: the next worker takes this for writing before it looks, or it would
    /// do the same again beside it.
    pub turn: Arc<tokio::sync::RwLock<()>>,
    stops: Mutex<HashMap<String, Arc<tokio::sync::Mutex<bool>>>>,
}

impl PodWork {
    /// Whether the preStop hook of a container has run; locked while it runs, so that the stop of
    /// another worker waits for it and does not run it again.
    pub fn hook_done(&self, id: &str) -> Arc<tokio::sync::Mutex<bool>> {
        Arc::clone(self.stops.lock().entry(id.to_owned()).or_default())
    }
}

/// Shared by every actor of one node.
pub struct NodeContext {
    /// How the node was started.
    pub config: NodeConfig,
    /// Capacity and the like.
    pub facts: NodeFacts,
    /// Writes events.
    pub recorder: Recorder,
    /// ConfigMaps and Secrets.
    pub objects: Objects,
    /// Service account tokens.
    pub tokens: Tokens,
    /// Services, for environment variables; `None` until they were listed once.
    pub services: watch::Receiver<Option<Arc<Vec<ServiceEntry>>>>,
    /// Turns for image pulls.
    pub pulls: Semaphore,
    /// What the machine runs short of.
    pub pressure: watch::Sender<Pressure>,
    /// For probes and hooks.
    pub http: reqwest::Client,
    /// Whether the pods of an earlier daemon have been taken over.
    pub(super) adopted: AtomicBool,
    sandboxes: Mutex<HashMap<String, SandboxEntry>>,
    work: Mutex<HashMap<String, Arc<PodWork>>>,
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    statuses: Mutex<HashMap<String, Arc<PodStatus>>>,
}

impl NodeContext {
    /// Puts the parts together.
    ///
    /// # Errors
    /// The HTTP client for probes cannot be made.
    pub fn new(
        config: NodeConfig,
        facts: NodeFacts,
        recorder: Recorder,
        services: watch::Receiver<Option<Arc<Vec<ServiceEntry>>>>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            // A probe looks at the program, not at its certificate; as upstream.
            .danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .pool_idle_timeout(PROBE_IDLE)
            .user_agent("kube-probe/1.36")
            .build()?;
        Ok(Self {
            objects: Objects::new(config.client.clone()),
            tokens: Tokens::default(),
            facts,
            recorder,
            services,
            pulls: Semaphore::new(MAX_PULLS),
            pressure: watch::channel(Pressure::default()).0,
            http,
            adopted: AtomicBool::new(false),
            sandboxes: Mutex::default(),
            work: Mutex::default(),
            pods: Mutex::default(),
            statuses: Mutex::default(),
            config,
        })
    }

    /// Takes a sandbox into the register and starts to listen to it.
    pub fn register(&self, sandbox: Arc<dyn PodSandbox>) -> SandboxEntry {
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        if let Some(mut source) = sandbox.events() {
            let sink = events.clone();
            tokio::spawn(async move {
                while let Some(event) = source.recv().await {
                    // Nobody listening: the worker asks for the status when it starts.
                    drop(sink.send(event));
                }
            });
        }
        let entry = SandboxEntry { sandbox, events };
        self.sandboxes.lock().insert(entry.sandbox.uid(), entry.clone());
        entry
    }

    /// The sandbox of a pod, if there is one.
    pub fn sandbox(&self, uid: &str) -> Option<SandboxEntry> {
        self.sandboxes.lock().get(uid).cloned()
    }

    /// Forgets a destroyed sandbox.
    pub fn unregister(&self, uid: &str) {
        self.sandboxes.lock().remove(uid);
    }

    /// What is being done for a pod.
    pub(super) fn work(&self, uid: &str) -> Arc<PodWork> {
        Arc::clone(self.work.lock().entry(uid.to_owned()).or_default())
    }

    /// Uids of all sandboxes.
    pub fn sandbox_uids(&self) -> Vec<String> {
        self.sandboxes.lock().keys().cloned().collect()
    }

    /// Notes the latest version of a pod.
    pub fn set_pod(&self, pod: Arc<Pod>) {
        self.pods.lock().insert(pod.uid().to_owned(), pod);
    }

    /// The latest version of a pod.
    pub fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.lock().get(uid).cloned()
    }

    /// Forgets a pod.
    pub fn forget_pod(&self, uid: &str) {
        self.pods.lock().remove(uid);
        self.work.lock().remove(uid);
        self.statuses.lock().remove(uid);
        self.tokens.forget(uid);
    }

    /// Notes a pod's status as this node sees it, ahead of the API.
    pub fn set_status(&self, uid: &str, status: Arc<PodStatus>) {
        self.statuses.lock().insert(uid.to_owned(), status);
    }

    /// A pod's status as this node sees it.
    pub fn status(&self, uid: &str) -> Option<Arc<PodStatus>> {
        self.statuses.lock().get(uid).cloned()
    }

    /// All pods of this node.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.lock().values().cloned().collect()
    }
}

/// Wall-clock time as the API counts it.
pub fn timestamp(at: std::time::SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
