//! A pod's volumes on this node: filled before its containers start, refreshed while they run.
//!
//! Supported: emptyDir, configMap, secret, projected (with service account tokens), downwardAPI,
//! hostPath. Any other kind is refused with its name.

mod files;
mod tokens;

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, Volume};
use kabuki_runtime::volume::{self, HostPathType, VolumeFile};

pub use files::{FileInput, references};
pub use tokens::{TokenRef, Tokens};

use super::{context::NodeContext, pod_view::PodView, resources::number};

/// Name of the event for a volume that cannot be filled.
pub const FAILED_MOUNT: &str = "FailedMount";

/// Why volumes cannot be filled; the text is that of upstream's event.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {reason}")]
pub struct VolumeError {
    /// Name of the volume.
    pub volume: String,
    /// What is wrong.
    pub reason: String,
}

/// Fills every volume of a pod; idempotent. `fresh` reads all objects from the API, otherwise
/// answers of a moment ago will do.
///
/// # Errors
/// The first volume that cannot be filled.
pub async fn prepare(node: &NodeContext, pod: &Pod, fresh: bool) -> Result<(), VolumeError> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let each = volumes.map(|v| async move {
        let filled = one(node, pod, v, fresh).await;
        filled.map_err(|reason| VolumeError { volume: v.name.clone(), reason })
    });
    futures_util::future::try_join_all(each).await.map(|_| ())
}

/// Whether the pod has volumes whose content may change.
pub fn can_change(pod: &Pod) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.any(is_generated)
}

/// Whether the node writes a volume itself; containers may only read it, as upstream's
/// `GetAttributes().ReadOnly` has it for these kinds.
pub fn is_written_here(pod: &Pod, name: &str) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.any(|v| v.name == name && is_generated(v))
}

fn is_generated(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
}

/// Where a volume of a pod is on the host.
pub fn path(node: &NodeContext, pod: &Pod, name: &str) -> Option<PathBuf> {
    let mut volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let volume = volumes.find(|v| v.name == name)?;
    if let Some(host) = &volume.host_path {
        return Some(PathBuf::from(&host.path));
    }
    Some(if is_generated(volume) {
        node.config.pod_run_dir(pod.uid()).join(name)
    } else {
        node.config.pod_dir(pod.uid()).join("volumes").join(name)
    })
}

/// Removes what [`prepare`] made; idempotent.
pub async fn remove(node: &NodeContext, uid: &str) -> Result<(), String> {
    let dirs = [node.config.pod_run_dir(uid), node.config.pod_dir(uid)];
    blocking(move || dirs.iter().try_for_each(|dir| volume::remove_tree(dir))).await
}

async fn one(node: &NodeContext, pod: &Pod, spec: &Volume, fresh: bool) -> Result<(), String> {
    let dir = path(node, pod, &spec.name).ok_or("no such volume")?;
    let group = fs_group(pod);
    if let Some(empty) = &spec.empty_dir {
        let memory = match empty.medium.as_deref().unwrap_or_default() {
            "" => false,
            "Memory" => true,
            other => return Err(format!("emptyDir medium {other} is not supported on this node")),
        };
        let limit = empty.size_limit.as_ref().and_then(|q| number("memory", q));
        let limit = limit.and_then(|l| u64::try_from(l).ok()).filter(|l| *l > 0);
        return blocking(move || volume::empty_dir(&dir, memory, limit, group)).await;
    }
    if let Some(host) = &spec.host_path {
        let kind = host_path_type(host.type_.as_deref().unwrap_or_default())?;
        return blocking(move || volume::host_path(&dir, kind)).await;
    }
    if !is_generated(spec) {
        return Err(unsupported(spec));
    }
    let namespace = PodView::namespace(pod);
    let fetched = node.objects.fetch(namespace, references(spec), fresh);
    let tokens = node.tokens.fetch(&node.config.client, pod, spec);
    let (fetched, tokens) = futures_util::join!(fetched, tokens);
    let input = FileInput {
        pod,
        volume: spec,
        fetched: &fetched.map_err(|e| e.to_string())?,
        tokens: &tokens?,
        host_ips: &node.config.host_ips(),
        allocatable: &node.facts.allocatable,
        group,
    };
    let list: Vec<VolumeFile> = files::files(&input).map_err(|e| e.to_string())?;
    blocking(move || volume::write_files(&dir, &list).map(|_changed| ())).await
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    context.fs_group.and_then(|g| u32::try_from(g).ok())
}

fn host_path_type(name: &str) -> Result<HostPathType, String> {
    Ok(match name {
        "" => HostPathType::Unset,
        "DirectoryOrCreate" => HostPathType::DirectoryOrCreate,
        "Directory" => HostPathType::Directory,
        "FileOrCreate" => HostPathType::FileOrCreate,
        "File" => HostPathType::File,
        "Socket" => HostPathType::Socket,
        "CharDevice" => HostPathType::CharDevice,
        "BlockDevice" => HostPathType::BlockDevice,
        other => return Err(format!("hostPath type {other} is not known")),
    })
}

fn unsupported(volume: &Volume) -> String {
    let object = serde_json::to_value(volume).unwrap_or_default();
    let kinds = object.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
    let kind = kinds.filter(|k| *k != "name").collect::<Vec<_>>().join(", ");
    format!("volumes of kind {kind} are not supported by this node")
}

async fn blocking<F>(work: F) -> Result<(), String>
where
    F: FnOnce() -> kabuki_runtime::Result<()> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Host path of a mount's `subPath`, pinned below the pod's temporary directory.
pub async fn sub_path(
    node: &NodeContext,
    pod: &Pod,
    volume: PathBuf,
    sub: String,
) -> Result<PathBuf, String> {
    let anchor: PathBuf = node.config.pod_run_dir(pod.uid()).join(".subpaths");
    let resolve = move || volume::sub_path(Path::new(&volume), &sub, &anchor);
    match tokio::task::spawn_blocking(resolve).await {
        Ok(path) => path.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
/// Unmounts and removes the emptyDir volumes of every pod of a node whose pods are gone; `root` is
/// [`super::NodeConfig::root`].
///
/// # Errors
/// What could not be removed.
pub async fn remove_all(root: &std::path::Path) -> Result<(), String> {
    let dir = root.join(super::config::POD_DATA);
    let removed = tokio::task::spawn_blocking(move || kabuki_runtime::volume::remove_tree(&dir));
    removed.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
