//! What an earlier daemon left: running pods are taken over, remains of others removed.

use std::{collections::HashSet, path::Path, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

use super::{
    config::{POD_DATA, POD_VOLUMES},
    context::NodeContext,
    kubelet::first,
    volumes,
    worker::{
        jobs::{POD_ANNOTATION, destroy_sandbox},
        launch::IMAGE_ANNOTATION,
    },
};

/// Takes over the sandboxes of an earlier daemon, once per process.
pub(super) async fn adopt_once(node: Arc<NodeContext>) {
    if !first(&node.adopted) {
        return;
    }
    match node.config.runtime.adopt().await {
        Ok(sandboxes) => {
            if !sandboxes.is_empty() {
                tracing::info!(pods = sandboxes.len(), "adopted running pods");
            }
            for sandbox in sandboxes {
                node.register(sandbox);
            }
        }
        Err(error) => tracing::error!(%error, "cannot adopt the pods that run on this node"),
    }
}

/// The adopted pods as they were when their sandboxes were made.
pub(super) async fn remembered(node: &NodeContext) -> Vec<Pod> {
    let mut pods = Vec::new();
    for uid in node.sandbox_uids() {
        let Some(entry) = node.sandbox(&uid) else { continue };
        let Ok(status) = entry.sandbox.status().await else { continue };
        let text = status.sandbox.annotations.get(POD_ANNOTATION);
        let Some(mut pod) = text.and_then(|t| serde_json::from_str::<Pod>(t).ok()) else {
            continue;
        };
        // An image changed since then must not look like a change now.
        let spec = pod.spec.iter_mut();
        for container in
            spec.flat_map(|s| s.containers.iter_mut().chain(s.init_containers.iter_mut().flatten()))
        {
            let last = status.containers.iter().rev().find(|c| c.name == container.name);
            if let Some(image) = last.and_then(|c| c.annotations.get(IMAGE_ANNOTATION)) {
                container.image = Some(image.clone());
            }
        }
        pods.push(pod);
    }
    pods
}

/// Removes everything of pods that this node does not have (any more). Which those are is asked right
/// before each removal: pods come while this works.
pub(super) async fn remove_orphans(node: &Arc<NodeContext>) -> Result<(), String> {
    let context = node.clone();
    let is_wanted = move |uid: &str| context.pod(uid).is_some();
    for uid in node.sandbox_uids() {
        if let Some(entry) = node.sandbox(&uid).filter(|_| !is_wanted(&uid)) {
            tracing::info!(uid, "removing a pod that is not in the API any more");
            destroy_sandbox(node, &uid, &entry.sandbox).await?;
        }
    }
    node.config.runtime.remove_orphans(&is_wanted).await.map_err(|e| e.to_string())?;
    let mut dirs = children(&node.config.root.join(POD_DATA)).await;
    dirs.extend(children(&node.config.run.join(POD_VOLUMES)).await);
    for uid in dirs {
        if !is_wanted(&uid) && node.sandbox(&uid).is_none() {
            volumes::remove(node, &uid).await?;
        }
    }
    for uid in node.config.network.attached().await {
        if !is_wanted(&uid) && node.sandbox(&uid).is_none() {
            node.config.network.detach(&uid).await?;
        }
    }
    Ok(())
}

async fn children(dir: &Path) -> HashSet<String> {
    let mut names = HashSet::new();
    // A directory that is not there has no children.
    let Ok(mut entries) = tokio::fs::read_dir(dir).await else { return names };
    while let Ok(Some(entry)) = entries.next_entry().await {
        names.extend(entry.file_name().to_str().map(str::to_owned));
    }
    names
}
