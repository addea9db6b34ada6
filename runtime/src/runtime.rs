//! The entry point for the daemon: one [`Runtime`] per node.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    files::{self, Durability},
    image::ImageStore,
    paths::{PodPaths, SHIMS},
    pod::{self, Pod, blocking},
    shim::protocol::{PodPlan, VERSION},
    spec::{ContainerSpec, PodSandboxSpec, Qos},
    sys,
};

/// Pods adopted at once.
const ADOPT_AT_ONCE: usize = 16;

/// Where a node keeps what. Several nodes on one machine need different values in every field.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Persistent: images, writable layers.
    pub root: PathBuf,
    /// Sockets, namespace mounts, shim state; tmpfs preferred (emptied by a reboot).
    pub run: PathBuf,
    /// Container logs (`/var/log/pods`).
    pub log_root: PathBuf,
    /// Parent of all pod cgroups, absolute (`/kubepods`).
    pub cgroup_root: String,
    /// The binary that is re-executed as a shim; must call [`crate::reexec::main_if_shim`] first
    /// thing in `main`.
    pub exe: PathBuf,
}

/// The container runtime of one node. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What pods need of their runtime.
pub(crate) struct Shared {
    pub config: RuntimeConfig,
    pub images: ImageStore,
    pub cgroups: Cgroups,
    pods: Mutex<HashMap<String, Pod>>,
}

impl Shared {
    pub fn forget(&self, uid: &str) {
        self.pods.lock().remove(uid);
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Prepares directories and cgroups, cleans half-done pulls. Starts nothing.
    ///
    /// # Errors
    /// When a directory or cgroup cannot be made: this needs root.
    pub async fn new(config: RuntimeConfig) -> Result<Self> {
        if !config.cgroup_root.starts_with('/') || config.cgroup_root.contains("..") {
            return Err(Error::Invalid(format!(
                "cgroup root {:?} must be an absolute path inside the hierarchy",
                config.cgroup_root
            )));
        }
        let (images, cgroups, config) = blocking(move || {
            for dir in [config.root.join("pods"), config.run.join("pods")] {
                files::make_private_dir(&dir)?;
            }
            files::make_dir(&config.log_root)?;
            let cgroups = Cgroups::detect()?;
            cgroups.prepare_root(&config.cgroup_root)?;
            let images = ImageStore::open(&config.root.join("images"))?;
            Ok((images, cgroups, config))
        })
        .await?;
        let pods = Mutex::new(HashMap::new());
        Ok(Self { shared: Arc::new(Shared { config, images, cgroups, pods }) })
    }

    /// The image store.
    pub fn images(&self) -> &ImageStore {
        &self.shared.images
    }

    /// Makes a pod's sandbox: shim, namespaces, cgroup.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when a pod with this uid is there (adopt it instead).
    pub async fn create_pod(&self, spec: PodSandboxSpec) -> Result<Pod> {
        if spec.hostname.len() > 64 || spec.hostname.contains('\0') {
            return Err(Error::Invalid("hostname is longer than 64 characters".into()));
        }
        let paths = PodPaths::new(&self.shared.config, &spec)?;
        let plan = PodPlan {
            version: VERSION,
            boot_id: sys::boot_id(),
            spec,
            paths,
            created_at: SystemTime::now(),
        };
        if self.shared.pods.lock().contains_key(&plan.spec.uid) {
            return Err(Error::AlreadyExists(format!("pod {}", plan.spec.uid)));
        }
        let (written, cgroups) = (plan.clone(), self.shared.cgroups.clone());
        blocking(move || {
            let run = &written.paths.run;
            match fs::create_dir(run) {
                // What a crash, or a removal that failed, left of it belongs to nobody.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    pod::remove_pod(&written.paths, &cgroups)?;
                    fs::create_dir(run)
                }
                other => other,
            }
            .map_err(Error::file("cannot make directory", run))?;
            // Writable layers of before a reboot.
            files::remove_tree(&written.paths.disk)?;
            files::write_json(&written.paths.plan(), &written, Durability::Process)
        })
        .await?;
        let child = match pod::spawn(&self.shared.config.exe, &plan).await {
            Ok(child) => child,
            Err(e) => {
                let (paths, cgroups) = (plan.paths.clone(), self.shared.cgroups.clone());
                if let Err(left) = blocking(move || pod::remove_pod(&paths, &cgroups)).await {
                    tracing::warn!(pod = plan.spec.uid, error = %left, "a failed pod left something");
                }
                return Err(e);
            }
        };
        let uid = plan.spec.uid.clone();
        let pod = Pod::connect(plan, self.shared.clone(), Some(child)).await;
        self.shared.pods.lock().insert(uid, pod.clone());
        Ok(pod)
    }

    /// Takes over the pods of an earlier daemon, exits that happened meanwhile included. Call once,
    /// before `create_pod`. Pods of before a reboot are cleaned up and not answered; a pod whose shim
    /// is gone is answered with `shim_lost` in its status, to be destroyed. Afterwards layers that no
    /// image and no container needs are removed.
    ///
    /// # Errors
    /// When the run directory cannot be read. A pod that cannot be understood or removed does not keep
    /// the others from being adopted.
    pub async fn adopt(&self) -> Result<Vec<Pod>> {
        let dir = self.shared.config.run.join("pods");
        let uids = blocking(move || list_names(&dir)).await?;
        let adopted = stream::iter(uids).map(|uid| self.adopt_uid(uid));
        let pods = adopted.buffer_unordered(ADOPT_AT_ONCE).filter_map(std::future::ready);
        let pods = pods.collect().await;
        if let Err(error) = self.shared.images.remove_unused().await {
            tracing::warn!(%error, "cannot remove unused image layers");
        }
        Ok(pods)
    }

    async fn adopt_uid(&self, uid: String) -> Option<Pod> {
        if self.shared.pods.lock().contains_key(&uid) {
            return None;
        }
        let plan = self.shared.config.run.join("pods").join(&uid).join("plan.json");
        let plan = blocking(move || files::read_json::<PodPlan>(&plan)).await;
        match plan {
            Ok(plan) if plan.boot_id == sys::boot_id() && plan.spec.uid == uid => {
                Some(self.adopt_pod(plan).await)
            }
            other => {
                let why = other.err().map_or("of before a reboot".to_owned(), |e| e.to_string());
                tracing::info!(uid, why, "removing what is left of a pod that cannot be adopted");
                if let Err(error) = self.remove_leftovers(&uid).await {
                    tracing::warn!(uid, %error, "cannot remove it; it is tried again with the orphans");
                }
                None
            }
        }
    }

    async fn adopt_pod(&self, plan: PodPlan) -> Pod {
        let (uid, paths) = (plan.spec.uid.clone(), plan.paths.clone());
        let pod = Pod::connect(plan, self.shared.clone(), None).await;
        if let Ok(status) = pod.status().await {
            for container in status.containers {
                self.keep_image(&paths, &container.id, &container.image_id).await;
            }
        }
        self.shared.pods.lock().insert(uid, pod.clone());
        pod
    }

    /// Pins the image of an adopted container. One that the store has forgotten (a damaged index) is
    /// entered again: its layers are mounted.
    async fn keep_image(&self, paths: &PodPaths, id: &str, image: &str) {
        if self.shared.images.pin(id, image).is_ok() {
            return;
        }
        let plan = paths.bundle(id).join(crate::oci::PLAN);
        let plan = blocking(move || files::read_json::<ContainerSpec>(&plan)).await;
        if let Ok(spec) = plan
            && let Err(error) = self.shared.images.restore(id, spec.image).await
        {
            tracing::warn!(container = id, %error, "cannot keep the image of a running container");
        }
    }

    /// The pods of this runtime, adopted ones included.
    pub fn pods(&self) -> Vec<Pod> {
        self.shared.pods.lock().values().cloned().collect()
    }

    /// Destroys every pod whose uid `is_wanted` denies, whatever is left of it: logs as well. It is
    /// asked right before each removal, since new pods come while old ones are removed.
    ///
    /// # Errors
    /// The first thing that could not be removed, after all were tried.
    pub async fn remove_orphans(&self, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut result = Ok(());
        for pod in self.pods() {
            if !is_wanted(pod.uid()) {
                result = result.and(pod.destroy().await);
            }
        }
        let (config, cgroups) = (self.shared.config.clone(), self.shared.cgroups.clone());
        let found = blocking(move || Ok(leftover_uids(&config, &cgroups))).await?;
        for uid in found {
            if !is_wanted(&uid) && !self.shared.pods.lock().contains_key(&uid) {
                result = result.and(self.remove_leftovers(&uid).await);
            }
        }
        let root = self.shared.config.log_root.clone();
        let logs = blocking(move || list_names(&root)).await.unwrap_or_default();
        for name in logs {
            let uid = name.rsplit('_').next().unwrap_or_default();
            if !is_wanted(uid) && !self.shared.pods.lock().contains_key(uid) {
                let dir = self.shared.config.log_root.join(&name);
                result = result.and(blocking(move || files::remove_tree(&dir)).await);
            }
        }
        result
    }

    /// Destroys every pod and removes the run directory and the cgroup root: nothing of this runtime
    /// is left on the machine but its root directory (images, logs). Answers how many pods there were.
    ///
    /// # Errors
    /// The first thing that could not be removed.
    pub async fn reset(self) -> Result<usize> {
        self.adopt().await?;
        let count = self.pods().len();
        self.remove_orphans(|_| false).await?;
        blocking(move || {
            self.shared.cgroups.remove(&self.shared.config.cgroup_root)?;
            crate::volume::remove_tree(&self.shared.config.run)
        })
        .await?;
        Ok(count)
    }

    /// Removes what is left of a pod that this runtime does not have: after a reboot its writable
    /// layers, for example.
    ///
    /// # Errors
    /// [`Error::InUse`] when it has the pod; what cannot be removed.
    pub async fn remove_remains(&self, uid: &str) -> Result<()> {
        crate::paths::check_name("pod uid", uid, 128)?;
        if self.shared.pods.lock().contains_key(uid) {
            return Err(Error::InUse(format!("pod {uid} is there; destroy it")));
        }
        self.remove_leftovers(uid).await
    }

    async fn remove_leftovers(&self, uid: &str) -> Result<()> {
        let (config, cgroups) = (self.shared.config.clone(), self.shared.cgroups.clone());
        let uid = uid.to_string();
        blocking(move || {
            let plan = config.run.join("pods").join(&uid).join("plan.json");
            if let Ok(plan) = files::read_json::<PodPlan>(&plan)
                && plan.spec.uid == uid
            {
                return pod::remove_pod(&plan.paths, &cgroups);
            }
            // Nothing says what it was: all three places of its cgroup are looked at.
            for qos in [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort] {
                let spec = PodSandboxSpec {
                    uid: uid.clone(),
                    namespace: "unknown".into(),
                    name: "unknown".into(),
                    qos,
                    ..Default::default()
                };
                pod::remove_pod(&PodPaths::new(&config, &spec)?, &cgroups)?;
            }
            Ok(())
        })
        .await
    }
}

/// Uids of everything that looks like a pod: run directories, writable layers, cgroups.
fn leftover_uids(config: &RuntimeConfig, cgroups: &Cgroups) -> HashSet<String> {
    let mut found = HashSet::new();
    for dir in [config.run.join("pods"), config.root.join("pods")] {
        found.extend(list_names(&dir).unwrap_or_default());
    }
    let root = config.cgroup_root.trim_end_matches('/');
    found.extend(cgroups.children(&format!("{root}/{SHIMS}")));
    for parent in ["", "/burstable", "/besteffort"] {
        let names = cgroups.children(&format!("{root}{parent}"));
        found.extend(names.iter().filter_map(|n| n.strip_prefix("pod")).map(str::to_string));
    }
    found.retain(|uid| crate::paths::check_name("uid", uid, 128).is_ok());
    found
}

fn list_names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(Error::file("cannot list", dir))?;
    Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
}
