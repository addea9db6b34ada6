//! `securityContext` of pod and container, merged.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};
use kabuki_runtime::spec::{Seccomp, Security};

/// The container's effective security settings; its own fields win over the pod's.
pub fn security(pod: &Pod, container: &Container, seccomp_root: &std::path::Path) -> Security {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod.spec.as_ref().and_then(|s| s.security_context.clone()).unwrap_or_default();
    let id = |value: Option<i64>| value.and_then(|v| u32::try_from(v).ok());
    let capabilities = own.capabilities.unwrap_or_default();
    let mut groups: Vec<u32> =
        shared.supplemental_groups.iter().flatten().filter_map(|g| id(Some(*g))).collect();
    groups.extend(id(shared.fs_group));
    let privileged = own.privileged.unwrap_or(false);
    let profile = own.seccomp_profile.or(shared.seccomp_profile);
    Security {
        run_as_user: id(own.run_as_user.or(shared.run_as_user)),
        run_as_group: id(own.run_as_group.or(shared.run_as_group)),
        supplemental_groups: groups,
        run_as_non_root: own.run_as_non_root.or(shared.run_as_non_root).unwrap_or(false),
        privileged,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        allow_privilege_escalation: own.allow_privilege_escalation.unwrap_or(true),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        seccomp: if privileged { Seccomp::Unconfined } else { filter(profile, seccomp_root) },
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    }
}

fn filter(profile: Option<SeccompProfile>, root: &std::path::Path) -> Seccomp {
    let Some(profile) = profile else { return Seccomp::Unconfined };
    match profile.type_.as_str() {
        "RuntimeDefault" => Seccomp::RuntimeDefault,
        "Localhost" => {
            let relative = PathBuf::from(profile.localhost_profile.unwrap_or_default());
            Seccomp::Localhost(root.join(relative))
        }
        _ => Seccomp::Unconfined,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_wins_over_the_pod() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1001, "fsGroup": 2000,
                "supplementalGroups": [3000], "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": []}}))
        .unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": {
            "runAsUser": 5, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}))
        .unwrap();
        let merged = security(&pod, &container, std::path::Path::new("/seccomp"));
        assert_eq!((merged.run_as_user, merged.run_as_group), (Some(5), Some(1001)));
        assert_eq!(merged.supplemental_groups, [3000, 2000]);
        assert!(!merged.allow_privilege_escalation);
        assert_eq!(merged.drop_capabilities, ["ALL"]);
        assert_eq!(merged.seccomp, Seccomp::RuntimeDefault);
    }
}
