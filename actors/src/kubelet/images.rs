//! Images by pull policy, with upstream's reasons, messages and events.

use std::{sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kabuki_runtime::{Error, ImageInfo, PullOptions, image::RegistryAuth};

use super::{context::NodeContext, env::Reference, machine::Trouble, pod_view::PodView};

/// Sees that a container's image is here.
///
/// # Errors
/// Reason and message of the waiting container.
pub async fn ensure(node: &NodeContext, pod: &Pod, name: &str) -> Result<Arc<ImageInfo>, Trouble> {
    let spec = pod.container(name).cloned().unwrap_or_default();
    let image = spec.image.clone().unwrap_or_default();
    let policy = spec.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    let here = node.config.runtime.image(&image);
    let tell = |warning, reason: &str, message: String| {
        node.recorder.pod(pod, Some(name), warning, reason, message);
    };
    match (policy, here) {
        ("IfNotPresent" | "Never", Some(info)) => {
            let text = "already present on machine and can be accessed by the pod";
            tell(false, "Pulled", format!("Container image \"{image}\" {text}"));
            Ok(Arc::new(info))
        }
        ("Never", None) => {
            let message =
                format!("Container image \"{image}\" is not present with pull policy of Never");
            tell(true, "ErrImageNeverPull", message.clone());
            Err(Trouble::new("ErrImageNeverPull", message))
        }
        _ => pull(node, pod, name, &image).await,
    }
}

async fn pull(
    node: &NodeContext,
    pod: &Pod,
    name: &str,
    image: &str,
) -> Result<Arc<ImageInfo>, Trouble> {
    let tell = |warning, reason: &str, message: String| {
        node.recorder.pod(pod, Some(name), warning, reason, message);
    };
    tell(false, "Pulling", format!("Pulling image \"{image}\""));
    let asked = Instant::now();
    let auths = credentials(node, pod, image).await;
    let Ok(_turn) = node.pulls.acquire().await else {
        return Err(Trouble::new("ErrImagePull", "the node is stopping"));
    };
    let begun = Instant::now();
    let mut result = Err(Error::NotFound(format!("image {image}")));
    for auth in auths {
        let options =
            PullOptions { auth, insecure_registries: node.config.insecure_registries.clone() };
        result = node.config.runtime.pull(image, &options).await;
        if result.is_ok() {
            break;
        }
    }
    match result {
        Ok(info) => {
            let (took, all) = (millis(begun), millis(asked));
            let size = info.size_bytes;
            let text = format!("Successfully pulled image \"{image}\" in {took}ms ({all}ms");
            tell(false, "Pulled", format!("{text} including waiting). Image size: {size} bytes."));
            Ok(Arc::new(info))
        }
        Err(error @ Error::ImageName { .. }) => {
            let message = error.to_string();
            let event = format!("Failed to apply default image tag \"{image}\": {message}");
            tell(true, "InspectFailed", event);
            Err(Trouble::new("InvalidImageName", message))
        }
        Err(error) => {
            let message = error.to_string();
            tell(true, "Failed", format!("Failed to pull image \"{image}\": {message}"));
            tell(true, "Failed", "Error: ErrImagePull".to_owned());
            Err(Trouble::new("ErrImagePull", message))
        }
    }
}

fn millis(since: Instant) -> u128 {
    since.elapsed().as_millis()
}

/// Credentials of the pod's pull secrets for the image's registry, then none.
async fn credentials(node: &NodeContext, pod: &Pod, image: &str) -> Vec<RegistryAuth> {
    let secrets = pod.spec.iter().flat_map(|s| s.image_pull_secrets.iter().flatten());
    let names: Vec<_> = secrets.map(|s| Reference::Secret(s.name.clone())).collect();
    let mut found = Vec::new();
    if !names.is_empty() {
        match node.objects.fetch(PodView::namespace(pod), names, true).await {
            Ok(fetched) => {
                found =
                    fetched.secrets.values().filter_map(|s| auth_for(s, registry(image))).collect();
            }
            Err(error) => tracing::info!(%error, image, "pulling without its pull secrets"),
        }
    }
    found.push(RegistryAuth::Anonymous);
    found
}

/// The registry part of a reference; Docker Hub where there is none.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// Credentials for a registry in a `dockerconfigjson` or `dockercfg` Secret.
fn auth_for(secret: &Secret, registry: &str) -> Option<RegistryAuth> {
    let data = secret.data.as_ref()?;
    let (bytes, nested) = match data.get(".dockerconfigjson") {
        Some(bytes) => (bytes, true),
        None => (data.get(".dockercfg")?, false),
    };
    let config: serde_json::Value = serde_json::from_slice(&bytes.0).ok()?;
    let auths = if nested { config.get("auths")? } else { &config };
    let matching = auths.as_object()?.iter().find(|(key, _)| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://");
        let host = key.split('/').next().unwrap_or_default();
        host == registry || (registry == "docker.io" && host.ends_with("docker.io"))
    });
    let entry = matching?.1;
    let text = |key: &str| entry.get(key).and_then(|v| v.as_str());
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()));
    }
    let decoded = STANDARD.decode(text("auth")?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_of_a_pull_secret() {
        let config = json!({"auths": {
            "https://reg.example:5000/v1/": {"auth": STANDARD.encode("u:p")},
            "https://index.docker.io/v1/": {"username": "hub", "password": "x"}}});
        let secret: Secret = serde_json::from_value(
            json!({"data": {".dockerconfigjson": STANDARD.encode(config.to_string())}}),
        )
        .unwrap();
        let basic = |u: &str, p: &str| Some(RegistryAuth::Basic(u.to_owned(), p.to_owned()));
        let table = [
            ("reg.example:5000/team/app:1", basic("u", "p")),
            ("busybox", basic("hub", "x")),
            ("ghcr.io/a/b", None),
        ];
        for (image, expected) in table {
            assert_eq!(auth_for(&secret, registry(image)), expected, "{image}");
        }
    }
}
