//! What the restricted level forbids besides (k8s `pod-security-admission/policy/check_*.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::super::{object::text, strategy::strings},
    baseline::{added, all_profiles, is_good_profile, profile},
    pod::{Pod, Setters, Violation, container_words, plural, quoted, violation},
};

/// Volumes that hold nothing of the node.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
/// Other volumes upstream names.
const NAMED_VOLUMES: [&str; 20] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
];

pub(super) fn allow_privilege_escalation(pod: Pod<'_>) -> Option<Violation> {
    if !pod.version.from(8) || pod.is_windows() {
        return None;
    }
    let names = pod.names(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if names.is_empty() {
        return None;
    }
    let who = container_words(&names);
    let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
    violation("allowPrivilegeEscalation != false", detail)
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let keeps = |container: &Value| {
        !strings(&container["securityContext"]["capabilities"]["drop"]).contains(&"ALL")
    };
    let keepers = pod.names(keeps);
    let (adders, bad) = added(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keepers.is_empty() {
        let who = container_words(&keepers);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adders.is_empty() {
        let (who, what) = (container_words(&adders), quoted(&bad));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    if details.is_empty() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

pub(super) fn restricted_volumes(pod: Pod<'_>) -> Option<Violation> {
    let has = |volume: &Value, sources: &[&str]| sources.iter().any(|s| volume[*s].is_object());
    let bad: Vec<&Value> = pod.volumes().iter().filter(|v| !has(v, &VOLUMES)).collect();
    if bad.is_empty() {
        return None;
    }
    let type_of = |volume: &Value| {
        if volume["storageos"].is_object() {
            return "storageos";
        }
        NAMED_VOLUMES.iter().find(|s| volume[**s].is_object()).copied().unwrap_or("unknown")
    };
    let names: Vec<&str> = bad.iter().map(|v| text(v, "name")).collect();
    let types: BTreeSet<&str> = bad.iter().map(|v| type_of(v)).collect();
    let types: Vec<&str> = types.into_iter().collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural(names.len(), "volume", "volumes"),
        quoted(&names),
        plural(names.len(), "uses", "use"),
        plural(types.len(), "restricted volume type", "restricted volume types"),
        quoted(&types)
    );
    violation("restricted volume types", detail)
}

pub(super) fn run_as_non_root(pod: Pod<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if pod.has_own_users() {
        return None;
    }
    let explicit = pod.setters(|context| context["runAsNonRoot"] == false);
    if let Some(who) = explicit.words() {
        return violation(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    if pod.spec["securityContext"]["runAsNonRoot"] == true {
        return None;
    }
    let silent = pod.names(|c| !c["securityContext"]["runAsNonRoot"].is_boolean());
    if silent.is_empty() {
        return None;
    }
    let who = container_words(&silent);
    violation(REASON, format!("pod or {who} must set securityContext.runAsNonRoot=true"))
}

pub(super) fn run_as_user(pod: Pod<'_>) -> Option<Violation> {
    if !pod.version.from(23) || pod.has_own_users() {
        return None;
    }
    let who = pod.setters(|context| context["runAsUser"] == 0).words()?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub(super) fn seccomp_profile(pod: Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let own = |context| profile(context, "seccompProfile");
    let bad = pod.setters(|context| own(context).is_some_and(|own| !is_good_profile(own)));
    if let Some(who) = Setters::words(&bad) {
        let values = quoted(&all_profiles(pod, "seccompProfile"));
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {values}");
        return violation("seccompProfile", detail);
    }
    if own(&pod.spec["securityContext"]).is_some() {
        return None;
    }
    let silent = pod.names(|c| own(&c["securityContext"]).is_none());
    if silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        container_words(&silent)
    );
    violation("seccompProfile", detail)
}
