//! What a worker's actions do: sandbox, volumes, stops, exits, removal. Each returns an outcome.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kabuki_runtime::{Exit, PodSandboxSpec};

use super::launch::termination_file;
use crate::kubelet::{
    context::{NodeContext, timestamp},
    dns,
    logs::pod_log_dir,
    machine::{Finished, Outcome, ProbeKind},
    networking::NetworkState,
    pod_view::PodView,
    probe::{Target, run_hook, run_probe},
    resources::{pod_cgroup, qos},
    sandbox::PodSandbox,
    volumes,
};

/// How long a sandbox waits for the pod network of the node.
const NETWORK_WITHIN: Duration = Duration::from_secs(10);
/// Longest termination message, in bytes.
const MAX_TERMINATION: u64 = 4096;
/// What `FallbackToLogsOnError` takes from the end of the log.
const FALLBACK_BYTES: u64 = 2048;
const FALLBACK_LINES: usize = 80;
/// The pod as it was when its sandbox was made: a new daemon that cannot reach the API goes on
/// with this.
pub(in crate::kubelet) const POD_ANNOTATION: &str = "kabuki.io/pod";
/// Even a stop without grace leaves the shim this long before it is asked again.
const MIN_GRACE: Duration = Duration::from_secs(1);

/// Everything an action needs, taken from the worker when it begins.
#[derive(Clone)]
pub(super) struct Job {
    pub node: Arc<NodeContext>,
    pub pod: Arc<Pod>,
    pub sandbox: Option<Arc<dyn PodSandbox>>,
    pub ips: Vec<String>,
}

impl Job {
    pub(super) fn tell(
        &self,
        container: &str,
        warning: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let container = Some(container).filter(|c| !c.is_empty());
        self.node.recorder.pod(&self.pod, container, warning, reason, message);
    }

    pub(super) fn pod_ips(&self) -> Vec<String> {
        if self.pod.host_network() { self.node.config.host_ips() } else { self.ips.clone() }
    }

    fn target(&self, container: &str, id: &str) -> Option<Target> {
        Some(Target {
            sandbox: self.sandbox.clone()?,
            id: id.to_owned(),
            container: self.pod.container(container)?.clone(),
            ip: self.pod_ips().into_iter().next().unwrap_or_default(),
            http: self.node.http.clone(),
        })
    }
}

/// Makes the sandbox and attaches it to the network.
pub(super) async fn create_sandbox(job: Job) -> Outcome {
    match try_sandbox(&job).await {
        Ok(ips) => Outcome::SandboxReady(ips),
        Err(message) => {
            let text = format!("Failed to create pod sandbox: {message}");
            job.tell("", true, "FailedCreatePodSandBox", text);
            Outcome::SandboxFailed(message)
        }
    }
}

async fn try_sandbox(job: &Job) -> Result<Vec<String>, String> {
    let (node, pod) = (&job.node, &job.pod);
    let uid = pod.uid();
    if let Some(remains) = node.sandbox(uid) {
        // Half-made, or lost with its shim.
        destroy_sandbox(node, uid, &remains.sandbox).await?;
    }
    if !pod.host_network() && !network_ready(node).await {
        let text = "network is not ready: container runtime network not ready";
        job.tell("", true, "NetworkNotReady", text);
        return Err(text.to_owned());
    }
    let spec = sandbox_spec(job).await;
    let sandbox = node.config.runtime.create_pod(spec).await.map_err(|e| e.to_string())?;
    node.register(sandbox.clone());
    attach(node, pod, &sandbox, None).await
}

/// Waits for the pod network of the node, for some seconds.
pub(super) async fn network_ready(node: &NodeContext) -> bool {
    let mut state = node.config.network.state();
    let ready = state.wait_for(|s| *s == NetworkState::Ready);
    matches!(tokio::time::timeout(NETWORK_WITHIN, ready).await, Ok(Ok(_)))
}

/// Gives a sandbox its address and its hosts file; idempotent.
pub(super) async fn attach(
    node: &NodeContext,
    pod: &Pod,
    sandbox: &Arc<dyn PodSandbox>,
    before: Option<Ipv4Addr>,
) -> Result<Vec<String>, String> {
    let Some(netns) = sandbox.netns().filter(|_| !pod.host_network()) else {
        return Ok(node.config.host_ips());
    };
    let ips = node.config.network.attach(&netns, pod.uid(), before).await?;
    let ips: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
    let hosts = dns::hosts(pod, &ips, &node.config.cluster_domain);
    sandbox.set_hosts(&hosts).await.map_err(|e| e.to_string())?;
    Ok(ips)
}

async fn sandbox_spec(job: &Job) -> PodSandboxSpec {
    let config = &job.node.config;
    let pod = &job.pod;
    let spec = pod.spec.clone().unwrap_or_default();
    let host_resolver = read_text(config.resolv_conf.clone()).await;
    let sysctls = spec.security_context.as_ref().and_then(|c| c.sysctls.clone());
    let own_hosts = if pod.host_network() {
        let host = read_text(PathBuf::from("/etc/hosts")).await;
        Some(host + &dns::host_aliases(pod))
    } else {
        None
    };
    PodSandboxSpec {
        uid: pod.uid().to_owned(),
        namespace: PodView::namespace(&**pod).to_owned(),
        name: PodView::name(&**pod).to_owned(),
        hostname: dns::hostname(pod),
        host_network: pod.host_network(),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        sysctls: sysctls.into_iter().flatten().map(|s| (s.name, s.value)).collect(),
        qos: qos(pod),
        resources: pod_cgroup(&spec),
        resolv_conf: Some(dns::resolv_conf(
            pod,
            &host_resolver,
            &config.cluster_dns.to_string(),
            &config.cluster_domain,
        )),
        hosts: own_hosts,
        annotations: BTreeMap::from([(
            POD_ANNOTATION.to_owned(),
            serde_json::to_string(&**pod).unwrap_or_default(),
        )]),
        ..PodSandboxSpec::default()
    }
}

async fn read_text(path: PathBuf) -> String {
    tokio::fs::read_to_string(path).await.unwrap_or_default()
}

/// Fills the volumes.
pub(super) async fn prepare_volumes(job: Job, fresh: bool) -> Outcome {
    match volumes::prepare(&job.node, &job.pod, fresh).await {
        Ok(()) => Outcome::VolumesReady,
        Err(error) => {
            let message = error.to_string();
            job.tell("", true, volumes::FAILED_MOUNT, message.clone());
            Outcome::VolumesFailed(message)
        }
    }
}

/// Runs the postStart hook.
pub(super) async fn post_start(job: Job, container: String, id: String) -> Outcome {
    let hook = job
        .pod
        .container(&container)
        .and_then(|c| c.lifecycle.as_ref())
        .and_then(|l| l.post_start.clone());
    let result = match (hook, job.target(&container, &id)) {
        (Some(hook), Some(target)) => run_hook(&target, &hook, Duration::from_secs(3600)).await,
        _ => Ok(()),
    };
    if let Err(reason) = &result {
        let text = format!("PostStartHook failed: {reason}");
        job.tell(&container, true, "FailedPostStartHook", text);
    }
    Outcome::PostStart { container, id, result }
}

/// Runs a probe once.
pub(super) async fn probe(job: Job, container: String, id: String, kind: ProbeKind) -> Outcome {
    let spec = job.pod.container(&container).and_then(|c| match kind {
        ProbeKind::Startup => c.startup_probe.clone(),
        ProbeKind::Readiness => c.readiness_probe.clone(),
        ProbeKind::Liveness => c.liveness_probe.clone(),
    });
    let result = match (spec, job.target(&container, &id)) {
        (Some(spec), Some(target)) => run_probe(&target, &spec).await,
        _ => crate::kubelet::machine::ProbeOutcome::Unknown("the container is gone".to_owned()),
    };
    Outcome::Probed { container, id, kind, result }
}

/// preStop hook, then the signal; the shim kills at the deadline.
pub(super) async fn stop(job: Job, container: String, id: String, grace: Duration, hook: bool) {
    let begun = Instant::now();
    if hook {
        let spec = job
            .pod
            .container(&container)
            .and_then(|c| c.lifecycle.as_ref())
            .and_then(|l| l.pre_stop.clone());
        if let (Some(spec), Some(target)) = (spec, job.target(&container, &id)) {
            let done = job.node.work(job.pod.uid()).hook_done(&id);
            let run = async {
                let mut done = done.lock().await;
                if std::mem::replace(&mut *done, true) {
                    return Ok(());
                }
                run_hook(&target, &spec, grace).await
            };
            if let Ok(Err(reason)) = tokio::time::timeout(grace, run).await {
                let text = format!("PreStopHook failed: {reason}");
                job.tell(&container, true, "FailedPreStopHook", text);
            }
        }
    }
    let Some(sandbox) = job.sandbox else { return };
    let left = grace.saturating_sub(begun.elapsed()).max(MIN_GRACE);
    if let Err(error) = sandbox.stop(&id, None, left).await {
        // It may have ended by itself; if it has not, the next deadline asks again.
        tracing::debug!(pod = job.pod.full_name(), container, %error, "cannot stop");
    }
}

/// Everything known of an exit, last words included.
pub(super) async fn exited(
    job: Job,
    container: String,
    id: String,
    attempt: u32,
    started: Option<k8s_openapi::jiff::Timestamp>,
    exit: Exit,
) -> Outcome {
    let reason = match &exit {
        exit if exit.oom => "OOMKilled",
        exit if exit.code == 0 => "Completed",
        _ => "Error",
    };
    let file = termination_file(&job, &container, attempt);
    let spec = job.pod.container(&container);
    let fallback = exit.code != 0
        && spec.and_then(|c| c.termination_message_policy.as_deref())
            == Some("FallbackToLogsOnError");
    let log = fallback.then(|| {
        let pod = &job.pod;
        let dir = pod_log_dir(&job.node.config.log_root, pod);
        dir.join(&container).join(format!("{attempt}.log"))
    });
    let read = tokio::task::spawn_blocking(move || last_words(&file, log.as_deref()));
    Outcome::Exited(Finished {
        id,
        container,
        attempt,
        started_at: started,
        finished_at: timestamp(exit.at),
        exit_code: exit.code,
        reason: reason.to_owned(),
        message: read.await.unwrap_or_default(),
    })
}

fn last_words(file: &Path, log: Option<&Path>) -> Option<String> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(file)
        && file.take(MAX_TERMINATION).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    if bytes.is_empty() {
        bytes = end_of_log(log?)?;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
}

/// The last lines of a log, without time stamps.
fn end_of_log(path: &Path) -> Option<Vec<u8>> {
    let mut file = std::fs::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    // Time stamp and stream name take some 40 bytes of each line.
    let window = FALLBACK_BYTES + 40 * FALLBACK_LINES as u64;
    file.seek(SeekFrom::Start(size.saturating_sub(window))).ok()?;
    let mut raw = Vec::new();
    file.read_to_end(&mut raw).ok()?;
    let text = crate::kubelet::logs::plain_text(&raw, size > window);
    let mut lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    lines.drain(..lines.len().saturating_sub(FALLBACK_LINES));
    let mut end = lines.concat();
    end.drain(..end.len().saturating_sub(FALLBACK_BYTES as usize));
    Some(end)
}

/// Removes sandbox, network and volumes.
pub(super) async fn destroy(job: Job) -> Outcome {
    let uid = job.pod.uid().to_owned();
    let node = &job.node;
    let logs = pod_log_dir(&node.config.log_root, &job.pod);
    let removed = async {
        match node.sandbox(&uid) {
            Some(entry) => destroy_sandbox(node, &uid, &entry.sandbox).await?,
            None => node.config.runtime.remove_remains(&uid).await.map_err(|e| e.to_string())?,
        }
        volumes::remove(node, &uid).await?;
        // Logs outlive a sandbox that went with a reboot.
        match tokio::fs::remove_dir_all(&logs).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", logs.display()))
            }
            _ => Ok(()),
        }
    };
    match removed.await {
        Ok(()) => Outcome::Destroyed,
        Err(message) => {
            tracing::warn!(pod = job.pod.full_name(), message, "cannot remove a pod, will retry");
            Outcome::DestroyFailed(message)
        }
    }
}

/// Network first: its names are found by the namespace that the sandbox takes with it.
pub(in crate::kubelet) async fn destroy_sandbox(
    node: &NodeContext,
    uid: &str,
    sandbox: &Arc<dyn PodSandbox>,
) -> Result<(), String> {
    node.config.network.detach(uid).await?;
    sandbox.destroy().await.map_err(|e| e.to_string())?;
    node.unregister(uid);
    Ok(())
}
