//! Defaults of pods and pod templates.

use serde_json::{Value, json};

use super::{empty, ensure, items, set, set_in};
use crate::quantity::Quantity;

/// 0644 in decimal, as JSON has it.
const FILE_MODE: i64 = 420;
/// Lifetime of projected service-account tokens, seconds.
const TOKEN_SECONDS: i64 = 3600;

pub(crate) fn pod(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    pod_spec(spec);
    set(spec, "enableServiceLinks", true);
    for list in ["/initContainers", "/containers"] {
        for container in items(spec, list) {
            requests_from_limits(container);
        }
    }
}

/// A change that leaves out what the pod's priority class decided leaves it as it is (k8s
/// `plugin/pkg/admission/priority`).
pub(crate) fn keep_priority(old: &Value, new: &mut Value) {
    let Some(spec) = new.get_mut("spec") else { return };
    for field in ["priority", "preemptionPolicy"] {
        if !old["spec"][field].is_null() {
            set(spec, field, old["spec"][field].clone());
        }
    }
}

/// The template of a workload.
pub(super) fn template(object: &mut Value) {
    if let Some(spec) = object.pointer_mut("/spec/template/spec") {
        pod_spec(spec);
    }
}

pub(super) fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "restartPolicy", "Always");
    set(spec, "securityContext", empty());
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "schedulerName", "default-scheduler");
    mirror_service_account(spec);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for volume in items(spec, "/volumes") {
        self::volume(volume);
    }
    for list in ["/initContainers", "/containers", "/ephemeralContainers"] {
        for container in items(spec, list) {
            self::container(container, host_network);
        }
    }
    round_up(spec, "/overhead");
}

/// `serviceAccount` is the deprecated name of `serviceAccountName`; both are served, equal.
fn mirror_service_account(spec: &mut Value) {
    let name = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .find_map(|key| spec[key].as_str().filter(|s| !s.is_empty()).map(str::to_owned));
    if let Some(name) = name {
        spec["serviceAccountName"] = name.clone().into();
        spec["serviceAccount"] = name.into();
    }
}

fn container(container: &mut Value, host_network: bool) {
    let policy = pull_policy(container["image"].as_str().unwrap_or_default());
    set(container, "imagePullPolicy", policy);
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    set(container, "resources", empty());
    for port in items(container, "/ports") {
        set(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            set(port, "hostPort", number);
        }
    }
    for env in items(container, "/env") {
        set_in(env, "/valueFrom/fieldRef", "apiVersion", "v1");
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            self::probe(probe);
        }
    }
    http_get(container, "/lifecycle/postStart/httpGet");
    http_get(container, "/lifecycle/preStop/httpGet");
    round_up(container, "/resources/limits");
    round_up(container, "/resources/requests");
}

fn probe(probe: &mut Value) {
    set(probe, "timeoutSeconds", 1);
    set(probe, "periodSeconds", 10);
    set(probe, "successThreshold", 1);
    set(probe, "failureThreshold", 3);
    http_get(probe, "/httpGet");
    set_in(probe, "/grpc", "service", "");
}

fn http_get(holder: &mut Value, pointer: &str) {
    set_in(holder, pointer, "path", "/");
    set_in(holder, pointer, "scheme", "HTTP");
}

/// `Always` for a moving tag, `IfNotPresent` for a fixed one.
fn pull_policy(image: &str) -> &'static str {
    if image.is_empty() {
        return "IfNotPresent";
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(n, d)| (n, Some(d)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.split_once(':').map(|(_, tag)| tag), digest) {
        (Some("latest"), _) | (None, None) => "Always",
        _ => "IfNotPresent",
    }
}

fn requests_from_limits(container: &mut Value) {
    let Value::Object(limits) = container["resources"]["limits"].clone() else { return };
    let Some(resources) = container.get_mut("resources") else { return };
    let requests = ensure(resources, "requests");
    for (name, limit) in limits {
        set(requests, &name, limit);
    }
}

/// Resource lists hold whole thousandths.
fn round_up(holder: &mut Value, pointer: &str) {
    let Some(Value::Object(map)) = holder.pointer_mut(pointer) else { return };
    for value in map.values_mut() {
        if let Some(quantity) = value.as_str().and_then(|s| Quantity::parse(s).ok()) {
            *value = quantity.round_up_milli().to_string().into();
        }
    }
}

fn volume(volume: &mut Value) {
    let Value::Object(map) = volume else { return };
    if !map.iter().any(|(key, value)| key != "name" && !value.is_null()) {
        map.insert("emptyDir".to_owned(), empty());
    }
    for source in ["/secret", "/configMap", "/downwardAPI", "/projected"] {
        set_in(volume, source, "defaultMode", FILE_MODE);
    }
    downward_items(volume, "/downwardAPI/items");
    for source in items(volume, "/projected/sources") {
        set_in(source, "/serviceAccountToken", "expirationSeconds", TOKEN_SECONDS);
        downward_items(source, "/downwardAPI/items");
    }
    set_in(volume, "/hostPath", "type", "");
    set_in(volume, "/iscsi", "iscsiInterface", "default");
    if let Some(image) = volume.get_mut("image").filter(|i| i.is_object()) {
        let reference = image.get("reference").and_then(Value::as_str).unwrap_or_default();
        let policy = pull_policy(reference);
        set(image, "pullPolicy", policy);
    }
    set_in(volume, "/ephemeral/volumeClaimTemplate/spec", "volumeMode", "Filesystem");
    for (source, key, value) in [
        ("/rbd", "pool", json!("rbd")),
        ("/rbd", "user", json!("admin")),
        ("/rbd", "keyring", json!("/etc/ceph/keyring")),
        ("/azureDisk", "cachingMode", json!("ReadWrite")),
        ("/azureDisk", "fsType", json!("ext4")),
        ("/azureDisk", "readOnly", json!(false)),
        ("/azureDisk", "kind", json!("Shared")),
        ("/scaleIO", "fsType", json!("xfs")),
        ("/scaleIO", "storageMode", json!("ThinProvisioned")),
    ] {
        set_in(volume, source, key, value);
    }
}

fn downward_items(holder: &mut Value, pointer: &str) {
    for item in items(holder, pointer) {
        set_in(item, "/fieldRef", "apiVersion", "v1");
    }
}
