//! The daemon's handle on one pod: asynchronous calls over the shim's socket.

mod leftovers;
mod link;
mod signal;
mod spawn;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

pub(crate) use leftovers::{remove_pod, unmount_below};
use parking_lot::Mutex;
pub use signal::parse as parse_signal;
pub(crate) use spawn::spawn;
use tokio::{sync::mpsc, task::spawn_blocking};

use self::link::Link;
use crate::{
    error::{Error, Result},
    files::{self, Durability},
    oci, paths,
    runtime::Shared,
    shim::{
        protocol::{Answer, ContainerMeta, PodPlan, Request},
        rotated,
    },
    spec::ContainerSpec,
    status::{ContainerState, ContainerStatus, ExecResult, PodEvent, PodStatus, Usage},
};

/// Most bytes of standard output, and of standard error, an exec gives back.
pub const EXEC_OUTPUT_LIMIT: usize = 1024 * 1024;
/// How long a shim may take for what it does at once.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long the making of a container may take (the shim gives up on its helper after 60 s).
const CREATE_LIMIT: Duration = Duration::from_secs(65);
/// How long a shim may take to end everything (it gives up after 10 s).
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);
/// How long the removal of a container that was never started waits for its end.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
/// Longest /etc/hosts.
const HOSTS_LIMIT_BYTES: usize = 1024 * 1024;

/// A pod on this node. Cheap to clone; dropping it ends nothing.
#[derive(Clone)]
pub struct Pod {
    inner: Arc<Inner>,
}

struct Inner {
    plan: PodPlan,
    link: Link,
    events: Mutex<Option<mpsc::Receiver<PodEvent>>>,
    runtime: Arc<Shared>,
    /// Held while the pod is destroyed, so that it happens once.
    destroying: tokio::sync::Mutex<bool>,
}

impl std::fmt::Debug for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pod").field(&self.uid()).finish()
    }
}

impl Pod {
    /// A handle on a pod whose shim runs (or did, once).
    pub(crate) async fn connect(
        plan: PodPlan,
        runtime: Arc<Shared>,
        child: Option<tokio::process::Child>,
    ) -> Self {
        let (link, events) = Link::open(plan.clone(), runtime.cgroups.clone(), child).await;
        let inner = Inner {
            plan,
            link,
            events: Mutex::new(Some(events)),
            runtime,
            destroying: tokio::sync::Mutex::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The pod's uid.
    pub fn uid(&self) -> &str {
        &self.inner.plan.spec.uid
    }

    /// The pod's network namespace (a bind-mounted file), `None` with the host's network.
    pub fn netns(&self) -> Option<PathBuf> {
        let plan = &self.inner.plan;
        (!plan.spec.host_network).then(|| plan.paths.namespace("net"))
    }

    /// The pod's log directory (`<log_root>/<namespace>_<name>_<uid>`).
    pub fn log_dir(&self) -> PathBuf {
        self.inner.plan.paths.logs.clone()
    }

    /// Writes the /etc/hosts that every container sees. Containers made before the first call (or
    /// without `hosts` in the pod's specification) keep their image's file; later calls reach them.
    pub async fn set_hosts(&self, text: &str) -> Result<()> {
        if text.len() > HOSTS_LIMIT_BYTES {
            return Err(Error::Invalid(format!("hosts file over {HOSTS_LIMIT_BYTES} bytes")));
        }
        let path = self.inner.plan.paths.etc().join("hosts");
        let text = text.to_string();
        blocking(move || {
            // Written in place: running containers hold a bind mount of this very file.
            fs::write(&path, text).map_err(Error::file("cannot write", &path))?;
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
                .map_err(Error::file("cannot set mode of", &path))
        })
        .await
    }

    /// Makes a container: root filesystem, cgroup, process waiting to be started.
    pub async fn create_container(&self, spec: ContainerSpec) -> Result<()> {
        paths::check_id(&spec.id)?;
        paths::check_name("container name", &spec.name, 128)?;
        let id = spec.id.clone();
        let image = &spec.image;
        let meta = ContainerMeta {
            id: id.clone(),
            name: spec.name.clone(),
            attempt: spec.attempt,
            image: image.references.first().unwrap_or(&image.id).clone(),
            image_id: image.id.clone(),
            stop_signal: parse_signal(&image.config.stop_signal).unwrap_or(libc::SIGTERM),
            tty: spec.tty,
            stdin: spec.stdin,
            annotations: spec.annotations.clone(),
        };
        let bundle = self.inner.plan.paths.bundle(&id);
        let images = &self.inner.runtime.images;
        images.pin(&id, &spec.image.id)?;
        let dir = bundle.clone();
        let written = blocking(move || {
            if dir.try_exists().unwrap_or(false) {
                return Err(Error::AlreadyExists(format!("container {}", spec.id)));
            }
            files::make_private_dir(&dir)?;
            files::write_json(&dir.join(oci::PLAN), &spec, Durability::Process)
        })
        .await;
        if let Err(e) = written {
            if !matches!(e, Error::AlreadyExists(_)) {
                images.unpin(&id);
            }
            return Err(e);
        }
        let made = self.inner.link.call(Request::Create(meta), CREATE_LIMIT).await;
        if let Err(e) = made {
            if !matches!(e, Error::AlreadyExists(_)) {
                self.remove_files(&id, None).await?;
                images.unpin(&id);
            }
            return Err(e);
        }
        Ok(())
    }

    /// Lets a created container run.
    pub async fn start(&self, id: &str) -> Result<()> {
        self.done(Request::Start { id: id.into() }).await
    }

    /// Sends `signal` (the image's stop signal when `None`) and SIGKILL after `grace`; answers as
    /// soon as the signal is sent. The shim holds the deadline: it counts even if this daemon dies.
    /// A later call can shorten the deadline, never lengthen it; the signal is sent again only when
    /// one is given. No error when the container ended before.
    pub async fn stop(&self, id: &str, signal: Option<i32>, grace: Duration) -> Result<()> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.done(Request::Stop { id: id.into(), signal, grace_ms }).await
    }

    /// Removes an exited (or never started) container with its writable layer and logs.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        paths::check_id(id)?;
        let status = self.status().await?;
        let known = status.containers.into_iter().find(|c| c.id == id);
        if known.as_ref().is_some_and(|c| c.state == ContainerState::Created) {
            self.stop(id, None, Duration::ZERO).await?;
        }
        let until = tokio::time::Instant::now() + REMOVE_LIMIT;
        loop {
            match self.done(Request::Remove { id: id.into() }).await {
                Ok(()) | Err(Error::NotFound(_) | Error::ShimLost(_)) => break,
                Err(Error::State { .. })
                    if known.as_ref().is_some_and(|c| c.state == ContainerState::Created)
                        && tokio::time::Instant::now() < until =>
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(e) => return Err(e),
            }
        }
        self.remove_files(id, known).await?;
        self.inner.runtime.images.unpin(id);
        Ok(())
    }

    async fn remove_files(&self, id: &str, known: Option<ContainerStatus>) -> Result<()> {
        let (paths, id) = (self.inner.plan.paths.clone(), id.to_string());
        blocking(move || {
            for dir in [paths.bundle(&id), paths.oci().join(&id), paths.writable(&id)] {
                files::remove_tree(&dir)?;
            }
            if let Some(status) = known {
                for file in rotated(&status.log_path).iter().chain([&status.log_path]) {
                    files::remove_file(file)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Runs a command in a running container with the container's environment, user and limits.
    /// A command that cannot be found is [`Error::Exec`]; a timeout is answered in the result.
    pub async fn exec(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Exec { id: id.into(), command: command.to_vec(), timeout_ms };
        match self.inner.link.call(request, timeout.saturating_add(CREATE_LIMIT)).await? {
            Answer::Exec(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// State of the pod and its containers.
    pub async fn status(&self) -> Result<PodStatus> {
        let plan = &self.inner.plan;
        let (containers, shim_lost) = match self.inner.link.call(Request::Status, CALL_LIMIT).await
        {
            Ok(Answer::Status(list)) => (list, false),
            Ok(other) => return Err(unexpected(&other)),
            Err(Error::ShimLost(_)) => (self.inner.link.last_known(), true),
            Err(e) => return Err(e),
        };
        Ok(PodStatus {
            sandbox: plan.spec.clone(),
            containers,
            shim_lost,
            created_at: plan.created_at,
        })
    }

    /// Events since the daemon last saw this pod. The stream can be taken once.
    pub fn events(&self) -> Option<mpsc::Receiver<PodEvent>> {
        self.inner.events.lock().take()
    }

    /// CPU and memory of the pod, or of one container.
    pub async fn usage(&self, id: Option<&str>) -> Result<Usage> {
        let paths = &self.inner.plan.paths;
        let cgroup = match id {
            None => paths.cgroup.clone(),
            Some(id) => {
                paths::check_id(id)?;
                paths.container_cgroup(id)
            }
        };
        let cgroups = self.inner.runtime.cgroups.clone();
        blocking(move || cgroups.usage(&cgroup)).await
    }

    /// Ends what runs and removes everything: cgroups, mounts, namespaces, directories, logs.
    /// Idempotent; after an error it can be called again.
    pub async fn destroy(&self) -> Result<()> {
        let mut destroyed = self.inner.destroying.lock().await;
        if *destroyed {
            return Ok(());
        }
        let known = self.status().await.map(|s| s.containers).unwrap_or_default();
        // Whatever the shim answers, what is left is removed by hand.
        if let Err(e) = self.inner.link.call(Request::Shutdown, SHUTDOWN_LIMIT).await
            && !matches!(e, Error::ShimLost(_))
        {
            tracing::warn!(pod = self.uid(), error = %e, "the shim did not end its pod in order");
        }
        let (plan, cgroups) = (self.inner.plan.clone(), self.inner.runtime.cgroups.clone());
        blocking(move || remove_pod(&plan.paths, &cgroups)).await?;
        for container in known {
            self.inner.runtime.images.unpin(&container.id);
        }
        self.inner.runtime.forget(self.uid());
        *destroyed = true;
        Ok(())
    }

    async fn done(&self, request: Request) -> Result<()> {
        match self.inner.link.call(request, CALL_LIMIT).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Protocol(format!("unexpected answer {answer:?}"))
}

/// Runs blocking work on the pool for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Protocol(format!("a blocking task failed: {e}"))),
    }
}
