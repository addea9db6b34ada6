//! Pod security.

use serde_json::json;

use crate::door::{Door, pod};

const LABEL: &str = "pod-security.kubernetes.io/";

pub fn refuses_and_warns(door: &Door<'_>) {
    let strict = json!({format!("{LABEL}enforce"): "restricted"});
    let ns = door.namespace("strict", strict);
    let detail = "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_eq!(
        door.post(&format!("{ns}/pods"), pod("p", "")).refusal(),
        format!(
            "403 pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": {detail}"
        )
    );
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("", "")["spec"]}}});
    let apps = ns.replace("/api/v1/", "/apis/apps/v1/");
    let made = door.post(&format!("{apps}/deployments?dryRun=All"), deployment).ok();
    let warning = format!("would violate PodSecurity \"restricted:latest\": {detail}");
    assert_eq!(made.warnings, [format!("299 - \"{}\"", warning.replace('"', "\\\""))]);

    let ns = door.namespace("lax", json!({}));
    door.post(&format!("{ns}/pods"), pod("p", "")).ok();
    let label = |level: &str| json!({"metadata": {"labels": {format!("{LABEL}enforce"): level}}});
    assert_eq!(
        door.patch(&ns, label("tight")).refusal(),
        "422 Namespace \"lax\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"tight\": must be one of privileged, baseline, restricted"
    );
    let warnings = door.patch(&format!("{ns}?dryRun=All"), label("restricted")).ok().warnings;
    assert_eq!(
        warnings,
        [
            "299 - \"existing pods in namespace \\\"lax\\\" violate the new PodSecurity enforce level \\\"restricted:latest\\\"\"",
            "299 - \"p: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile\"",
        ]
    );
    assert_eq!(door.patch(&ns, label("baseline")).ok().warnings, [] as [&str; 0]);
    let mut host = pod("h", "");
    host["spec"]["hostNetwork"] = true.into();
    assert_eq!(
        door.post(&format!("{ns}/pods"), host).refusal(),
        "403 pods \"h\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
}
