//! From a container's spec to a running container.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use kabuki_runtime::{
    ContainerSpec, ImageInfo,
    spec::{Mount, Propagation},
};

use super::Job;
use crate::kubelet::{
    context::timestamp,
    env::{EnvInput, expand, references, resolve, service_env},
    machine::{Finished, Hook, Outcome, Running, Trouble},
    pod_view::PodView,
    resources::{container_cgroup, oom_score},
    security::security,
    volumes,
};

/// How long the first list of services may take before a container with service links gives up.
const SERVICES_WITHIN: Duration = Duration::from_secs(10);
/// Where a container may leave its last words, unless it says otherwise.
const TERMINATION_PATH: &str = "/dev/termination-log";
/// Annotations of a container, read again when it is adopted.
pub(in crate::kubelet) const IMAGE_ANNOTATION: &str = "kabuki.io/spec-image";

/// Creates and starts one container.
pub(super) async fn start(
    job: Job,
    name: String,
    id: String,
    attempt: u32,
    image: Arc<ImageInfo>,
) -> Outcome {
    let config_error = |message: String| {
        let trouble = Trouble::new("CreateContainerConfigError", message);
        (trouble, None)
    };
    match attempt_start(&job, &name, &id, attempt, &image, config_error).await {
        Ok(running) => Outcome::Started { container: name, running },
        Err((trouble, ended)) => {
            job.tell(&name, true, "Failed", format!("Error: {}", trouble.message));
            Outcome::StartFailed { container: name, trouble, ended }
        }
    }
}

type Failure = (Trouble, Option<Finished>);

async fn attempt_start(
    job: &Job,
    name: &str,
    id: &str,
    attempt: u32,
    image: &Arc<ImageInfo>,
    config_error: impl Fn(String) -> Failure,
) -> Result<Running, Failure> {
    let spec = job
        .pod
        .container(name)
        .cloned()
        .ok_or_else(|| config_error(format!("container {name} is not in the pod any more")))?;
    let sandbox = job.sandbox.clone().ok_or_else(|| config_error("no sandbox".to_owned()))?;
    let env = environment(job, &spec).await.map_err(&config_error)?;
    let mounts = mounts(job, &spec, attempt, &env).await.map_err(&config_error)?;
    let container = container_spec(job, &spec, id, attempt, image, env, mounts);
    if let Err(error) = sandbox.create_container(container).await {
        return Err((Trouble::new("CreateContainerError", error.to_string()), None));
    }
    job.tell(name, false, "Created", "Container created");
    if let Err(error) = sandbox.start(id).await {
        let message = error.to_string();
        let at = timestamp(std::time::SystemTime::now());
        let ended = Finished {
            id: id.to_owned(),
            container: name.to_owned(),
            attempt,
            started_at: None,
            finished_at: at,
            exit_code: 128,
            reason: "StartError".to_owned(),
            message: Some(message.clone()),
        };
        return Err((Trouble::new("RunContainerError", message), Some(ended)));
    }
    job.tell(name, false, "Started", "Container started");
    let has_hook = spec.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some());
    Ok(Running {
        id: id.to_owned(),
        attempt,
        started_at: timestamp(std::time::SystemTime::now()),
        spec_image: spec.image.clone().unwrap_or_default(),
        image: shown_image(&spec, image),
        image_id: image.image_id().to_owned(),
        hook: if has_hook { Hook::Todo } else { Hook::Done },
        stop: None,
    })
}

fn shown_image(spec: &Container, image: &ImageInfo) -> String {
    image.references.first().cloned().or_else(|| spec.image.clone()).unwrap_or_default()
}

async fn environment(job: &Job, spec: &Container) -> Result<Vec<(String, String)>, String> {
    let namespace = PodView::namespace(&*job.pod);
    let wanted = references(spec);
    let fetched = job.node.objects.fetch(namespace, wanted, true);
    let fetched = fetched.await.map_err(|e| e.to_string())?;
    let links = job.pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let mut services = job.node.services.clone();
    let listed = tokio::time::timeout(SERVICES_WITHIN, services.wait_for(Option::is_some));
    let services = match listed.await {
        Ok(Ok(list)) => list.clone().unwrap_or_default(),
        _ => {
            let text = "services have not yet been read at least once, cannot construct envvars";
            return Err(text.to_owned());
        }
    };
    let services = service_env(services.iter(), namespace, links);
    let input = EnvInput {
        pod: &job.pod,
        container: spec,
        pod_ips: &job.pod_ips(),
        host_ips: &job.node.config.host_ips(),
        allocatable: &job.node.facts.allocatable,
        services: &services,
        fetched: &fetched,
    };
    resolve(&input).map_err(|e| e.to_string())
}

async fn mounts(
    job: &Job,
    spec: &Container,
    attempt: u32,
    env: &[(String, String)],
) -> Result<Vec<Mount>, String> {
    let mut list = Vec::new();
    for mount in spec.volume_mounts.iter().flatten() {
        let source = volumes::path(&job.node, &job.pod, &mount.name)
            .ok_or_else(|| format!("volume {} is not in the pod", mount.name))?;
        let source = match sub_path(mount, env) {
            Some(sub) => {
                let resolved = volumes::sub_path(&job.node, &job.pod, source, sub).await;
                resolved.map_err(|e| {
                    format!(
                        "failed to prepare subPath for volumeMount \"{}\" of container \"{}\": {e}",
                        mount.name, spec.name
                    )
                })?
            }
            None => source,
        };
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        };
        list.push(Mount {
            source,
            target: PathBuf::from(&mount.mount_path),
            read_only: mount.read_only.unwrap_or(false)
                || volumes::is_written_here(&job.pod, &mount.name),
            propagation,
        });
    }
    let target = termination_target(spec);
    if !list.iter().any(|m| m.target == target) {
        let source = termination_file(job, &spec.name, attempt);
        make_file(source.clone()).await?;
        list.push(Mount { source, target, read_only: false, propagation: Propagation::Private });
    }
    Ok(list)
}

fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Option<String> {
    let known = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    given(&mount.sub_path)
        .or_else(|| given(&mount.sub_path_expr).map(|expression| expand(&expression, known)))
}

fn termination_target(spec: &Container) -> PathBuf {
    let own = spec.termination_message_path.clone().filter(|p| !p.is_empty());
    PathBuf::from(own.unwrap_or_else(|| TERMINATION_PATH.to_owned()))
}

/// Where the last words of one run are on the host.
pub(super) fn termination_file(job: &Job, container: &str, attempt: u32) -> PathBuf {
    let dir = job.node.config.pod_dir(job.pod.uid()).join("containers").join(container);
    dir.join(format!("{attempt}.termination"))
}

async fn make_file(path: PathBuf) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let make = move || {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::File::create(&path)?;
        // Any user of the container may write its last words.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))
    };
    match tokio::task::spawn_blocking(make).await {
        Ok(made) => made.map_err(|e| format!("cannot make the termination log: {e}")),
        Err(error) => Err(error.to_string()),
    }
}

fn container_spec(
    job: &Job,
    spec: &Container,
    id: &str,
    attempt: u32,
    image: &Arc<ImageInfo>,
    env: Vec<(String, String)>,
    mounts: Vec<Mount>,
) -> ContainerSpec {
    let pod: &Pod = &job.pod;
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        let known = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        list.iter().flatten().map(|text| expand(text, known)).collect()
    };
    let facts = &job.node.facts;
    ContainerSpec {
        id: id.to_owned(),
        name: spec.name.clone(),
        attempt,
        image: (**image).clone(),
        command: expanded(&spec.command),
        args: expanded(&spec.args),
        working_dir: spec.working_dir.clone().filter(|d| !d.is_empty()).map(PathBuf::from),
        mounts,
        security: security(pod, spec, &job.node.config.root.join("seccomp")),
        resources: container_cgroup(spec),
        oom_score_adj: Some(oom_score(pod, spec, facts.memory_capacity).max(facts.oom_floor)),
        tty: spec.tty.unwrap_or(false),
        stdin: spec.stdin.unwrap_or(false),
        annotations: BTreeMap::from([(
            IMAGE_ANNOTATION.to_owned(),
            spec.image.clone().unwrap_or_default(),
        )]),
        env,
    }
}
