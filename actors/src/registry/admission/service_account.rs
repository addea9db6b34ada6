//! The ServiceAccount plugin: every pod runs as an account, and finds the account's token, the CA
//! and its namespace in a well-known directory.

use kabuki_api::{
    kind::{POD, SERVICE_ACCOUNT},
    status::Status,
};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::super::{object::text, view::View};

/// Where containers find their credentials.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Prefix of the injected volume's name.
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Lifetime asked for in seconds; the odd number tells the injected token from others.
const TOKEN_SECONDS: i64 = 3607;
/// Letters of generated suffixes: no vowels, so no words.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Annotation that marks a pod that only mirrors a node-local one.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn admit(view: &dyn View, pod: &mut Value) -> Result<(), Status> {
    if pod["metadata"]["annotations"][MIRROR].is_string() {
        return Ok(());
    }
    if text(&pod["spec"], "serviceAccountName").is_empty() {
        pod["spec"]["serviceAccountName"] = "default".into();
    }
    let account = text(&pod["spec"], "serviceAccountName").to_owned();
    pod["spec"]["serviceAccount"] = account.clone().into();
    let ns = text(&pod["metadata"], "namespace").to_owned();
    let Some(found) = view.get(SERVICE_ACCOUNT, &ns, &account) else {
        let message = format!(
            "error looking up service account {ns}/{account}: serviceaccount {account:?} not found"
        );
        return Err(Status::forbidden(POD, text(&pod["metadata"], "name"), &message));
    };
    let found = found.value();
    let automount = pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .or_else(|| found["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if automount {
        mount(pod);
    }
    let secrets = &found["imagePullSecrets"];
    if secrets.as_array().is_some_and(|s| !s.is_empty())
        && pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
    {
        pod["spec"]["imagePullSecrets"] = secrets.clone();
    }
    Ok(())
}

fn mount(pod: &mut Value) {
    let existing = pod["spec"]["volumes"].as_array().and_then(|volumes| {
        volumes.iter().map(|v| text(v, "name")).find(|n| n.starts_with(VOLUME_PREFIX))
    });
    let name = existing.map_or_else(new_volume_name, str::to_owned);
    let mut used = false;
    for list in ["initContainers", "containers"] {
        // Not by index: that would make the list, as null, where the pod has none.
        let Some(containers) = pod["spec"].get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers {
            used |= mount_in(container, &name);
        }
    }
    if !used || existing_volume(pod, &name) {
        return;
    }
    if !pod["spec"]["volumes"].is_array() {
        pod["spec"]["volumes"] = json!([]);
    }
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.push(volume(&name));
    }
}

fn existing_volume(pod: &Value, name: &str) -> bool {
    pod["spec"]["volumes"].as_array().is_some_and(|v| v.iter().any(|v| text(v, "name") == name))
}

/// Whether the container got (and so needs) the volume.
fn mount_in(container: &mut Value, name: &str) -> bool {
    if !container["volumeMounts"].is_array() {
        container["volumeMounts"] = json!([]);
    }
    let Some(mounts) = container["volumeMounts"].as_array_mut() else { return false };
    if mounts.iter().any(|m| text(m, "mountPath") == MOUNT_PATH) {
        return false;
    }
    mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}

fn new_volume_name() -> String {
    let mut rng = rand::rng();
    let suffix = (0..5).map(|_| {
        let index = rng.random_range(0..SUFFIX_ALPHABET.len());
        char::from(SUFFIX_ALPHABET.get(index).copied().unwrap_or(b'x'))
    });
    VOLUME_PREFIX.chars().chain(suffix).collect()
}

fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn pod() -> Value {
        json!({"metadata": {"name": "p", "namespace": "d"},
            "spec": {"containers": [{"name": "a"}, {"name": "b",
                "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]}]}})
    }

    fn account(extra: Value) -> MemView {
        let mut account = json!({"metadata": {"name": "default", "namespace": "d"}});
        if let Some(map) = extra.as_object() {
            for (k, v) in map {
                account[k.as_str()] = v.clone();
            }
        }
        MemView::new().with(SERVICE_ACCOUNT, account)
    }

    #[test]
    fn a_missing_account_is_refused_in_upstreams_words() {
        let status = admit(&MemView::new(), &mut pod()).unwrap_err();
        assert_eq!(status.code, 403);
        assert_eq!(
            status.message,
            "pods \"p\" is forbidden: error looking up service account d/default: serviceaccount \"default\" not found"
        );
    }

    #[test]
    fn the_token_is_mounted_where_nothing_else_is() {
        let mut pod = pod();
        admit(&account(json!({"imagePullSecrets": [{"name": "s"}]})), &mut pod).unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(pod["spec"]["serviceAccount"], "default");
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "s"}]));
        let name = text(&pod["spec"]["volumes"][0], "name");
        assert!(name.starts_with(VOLUME_PREFIX) && name.len() == VOLUME_PREFIX.len() + 5);
        let containers = &pod["spec"]["containers"];
        assert_eq!(text(&containers[0]["volumeMounts"][0], "name"), name);
        assert_eq!(containers[1]["volumeMounts"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_pod_overrides_the_accounts_wish() {
        let mut refused = pod();
        admit(&account(json!({"automountServiceAccountToken": false})), &mut refused).unwrap();
        assert!(refused["spec"]["volumes"].is_null());
        let mut wished = pod();
        wished["spec"]["automountServiceAccountToken"] = true.into();
        admit(&account(json!({"automountServiceAccountToken": false})), &mut wished).unwrap();
        assert_eq!(wished["spec"]["volumes"].as_array().unwrap().len(), 1);
    }
}
