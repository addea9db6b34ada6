//! The APIServices of what this server serves itself (kube-apiserver `pkg/controlplane/apiserver`
//! `DefaultGenericAPIServicePriorities`).

use std::collections::BTreeSet;

use kabuki_api::kind;
use serde_json::{Value, json};

/// Says that the object is made at start and left alone after.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Groups and their priorities in discovery. The group of APIServices itself has none: it is what
/// shows the others.
const PRIORITIES: &[(&str, i64)] = &[
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

fn version_priority(group: &str, version: &str) -> i64 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io", _) => 21,
        ("resource.k8s.io", _) => 20,
        _ => 15,
    }
}

/// One object per group version.
pub(super) fn local() -> Vec<Value> {
    let served: BTreeSet<_> = kind::all().iter().map(|k| (k.group, k.version)).collect();
    let known = served.into_iter().filter_map(|(group, version)| {
        let (_, priority) = PRIORITIES.iter().find(|(name, _)| *name == group)?;
        Some(json!({
            "metadata": {"name": format!("{version}.{group}"), "labels": {AUTOMANAGED: "onstart"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": priority,
                "versionPriority": version_priority(group, version)},
        }))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_version_has_one() {
        let local = local();
        let names: Vec<_> = local.iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"v1.") && names.contains(&"v2.autoscaling"), "{names:?}");
        let groups: BTreeSet<_> = kind::all().iter().map(|k| (k.group, k.version)).collect();
        assert_eq!(names.len(), groups.len() - 1, "all but their own group: {names:?}");
        for object in &local {
            assert_eq!(kabuki_api::validate::create(kind::API_SERVICE, object), []);
        }
    }
}
