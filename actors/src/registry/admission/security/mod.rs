//! PodSecurity: namespaces say by labels what their pods must not do (k8s
//! `k8s.io/pod-security-admission`). What violates the enforced policy is refused, what violates the
//! one to warn of is told the client, for workloads already when they are made.

mod baseline;
mod level;
mod pod;
mod restricted;

use std::collections::BTreeMap;

use kabuki_api::{
    kind::{
        CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, Kind, NAMESPACE, POD, POD_TEMPLATE, REPLICA_SET,
        REPLICATION_CONTROLLER, STATEFUL_SET,
    },
    status::Status,
};
use serde_json::Value;

use self::{
    level::{Level, Policies, Policy},
    pod::{Check, Pod, Violation},
};
use super::{
    super::{object::text, options::RequestInfo, view::View},
    amounts::list,
};

/// Pods of a namespace that are looked at when its policy changes.
const PODS_MAX: usize = 3000;
/// Keys of what the audit log is told.
const ANNOTATIONS: &str = "pod-security.kubernetes.io/";

/// A check, by upstream's id.
struct Named {
    id: &'static str,
    check: Check,
    /// First version that has it.
    since: u32,
    /// The id of the weaker check it stands for.
    instead_of: &'static str,
}

const fn named(id: &'static str, check: Check) -> Named {
    Named { id, check, since: 0, instead_of: "" }
}

const fn instead(id: &'static str, check: Check, since: u32, instead_of: &'static str) -> Named {
    Named { id, check, since, instead_of }
}

/// Checks of the baseline level, in the order of their messages.
const BASELINE: [Named; 12] = [
    named("appArmorProfile", baseline::app_armor_profile),
    named("capabilities_baseline", baseline::capabilities),
    named("hostNamespaces", baseline::host_namespaces),
    named("hostPathVolumes", baseline::host_path_volumes),
    named("hostPorts", baseline::host_ports),
    named("hostProbesAndHostLifecycle", baseline::host_probes),
    named("privileged", baseline::privileged),
    named("procMount", baseline::proc_mount),
    named("seLinuxOptions", baseline::se_linux_options),
    named("seccompProfile_baseline", baseline::seccomp_profile),
    named("sysctls", baseline::sysctls),
    named("windowsHostProcess", baseline::windows_host_process),
];
/// Checks of the restricted level, which come after those of the baseline they do not replace.
const RESTRICTED: [Named; 7] = [
    named("allowPrivilegeEscalation", restricted::allow_privilege_escalation),
    instead("capabilities_restricted", restricted::capabilities, 22, "capabilities_baseline"),
    instead("procMount_restricted", baseline::any_proc_mount, 35, "procMount"),
    instead("restrictedVolumes", restricted::restricted_volumes, 0, "hostPathVolumes"),
    named("runAsNonRoot", restricted::run_as_non_root),
    named("runAsUser", restricted::run_as_user),
    instead(
        "seccompProfile_restricted",
        restricted::seccomp_profile,
        19,
        "seccompProfile_baseline",
    ),
];

/// What a pod or template violates.
fn violations(policy: Policy, meta: &Value, spec: &Value) -> Vec<Violation> {
    let pod = Pod { meta, spec, version: policy.version };
    let strict: Vec<&Named> = match policy.level {
        Level::Privileged => return Vec::new(),
        Level::Baseline => Vec::new(),
        Level::Restricted => {
            RESTRICTED.iter().filter(|own| policy.version.from(own.since)).collect()
        }
    };
    let replaced = |id: &str| strict.iter().any(|own| own.instead_of == id);
    let base = BASELINE.iter().filter(|own| !replaced(own.id));
    base.chain(strict.iter().copied()).filter_map(|own| (own.check)(pod)).collect()
}

fn words(policy: Policy, found: &[Violation]) -> String {
    let parts: Vec<String> = found.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect();
    format!("violate PodSecurity \"{policy}\": {}", parts.join(", "))
}

/// Checks a new object, or what a change makes of `old`.
///
/// # Errors
/// 403 for a pod that violates the enforced policy; 422 for labels that mean nothing.
pub(super) fn check(
    view: &dyn View,
    info: &RequestInfo,
    kind: &'static Kind,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Status> {
    if kind == NAMESPACE {
        return check_namespace(view, info, old, new);
    }
    let Some((meta, spec)) = template(kind, new) else { return Ok(()) };
    let Some(namespace) = view.get(NAMESPACE, "", text(&new["metadata"], "namespace")) else {
        return Ok(());
    };
    let policies = Policies::of(namespace.value());
    if policies.are_lax() || old.is_some_and(|old| kind == POD && !matters(old, new)) {
        return Ok(());
    }
    if !policies.errors.is_empty() {
        let texts: Vec<String> = policies.errors.iter().map(ToString::to_string).collect();
        let text = format!("Failed to parse policy: {}", super::amounts::aggregate(&texts));
        info.notes.annotate(&format!("{ANNOTATIONS}error"), &text);
    }
    let found = |policy: Policy| violations(policy, meta, spec);
    if kind == POD {
        let policy = policies.enforce;
        info.notes.annotate(&format!("{ANNOTATIONS}enforce-policy"), &policy.to_string());
    }
    let audited = found(policies.audit);
    if !audited.is_empty() {
        let text = format!("would {}", words(policies.audit, &audited));
        info.notes.annotate(&format!("{ANNOTATIONS}audit-violations"), &text);
    }
    if kind == POD {
        let refused = found(policies.enforce);
        if !refused.is_empty() {
            let text = words(policies.enforce, &refused).replacen("violate", "violates", 1);
            return Err(Status::forbidden(POD, text_name(new), &text));
        }
    }
    let told = found(policies.warn);
    if !told.is_empty() {
        info.notes.warn(&format!("would {}", words(policies.warn, &told)));
    }
    Ok(())
}

fn text_name(object: &Value) -> &str {
    text(&object["metadata"], "name")
}

/// Metadata and spec of the pod an object is, or is a template of.
fn template<'a>(kind: &'static Kind, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    if kind == POD {
        return Some((&object["metadata"], &object["spec"]));
    }
    let plain = [DEPLOYMENT, REPLICA_SET, DAEMON_SET, STATEFUL_SET, JOB, REPLICATION_CONTROLLER];
    let template = if plain.contains(&kind) {
        &object["spec"]["template"]
    } else if kind == CRON_JOB {
        &object["spec"]["jobTemplate"]["spec"]["template"]
    } else if kind == POD_TEMPLATE {
        &object["template"]
    } else {
        return None;
    };
    template.is_object().then(|| (&template["metadata"], &template["spec"]))
}

/// Whether a change of a pod is one that checks look at: new containers or images.
fn matters(old: &Value, new: &Value) -> bool {
    let of = |pod: &Value, field: &str| -> Vec<(String, String)> {
        let all = list(&pod["spec"][field]).iter();
        all.map(|c| (text(c, "name").to_owned(), text(c, "image").to_owned())).collect()
    };
    ["containers", "initContainers"].iter().any(|field| of(old, field) != of(new, field))
        || of(new, "ephemeralContainers")
            .iter()
            .any(|own| !of(old, "ephemeralContainers").contains(own))
}

fn check_namespace(
    view: &dyn View,
    info: &RequestInfo,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Status> {
    let policies = Policies::of(new);
    let before = old.map(Policies::of);
    if !policies.errors.is_empty() && before.as_ref().is_none_or(|b| b.errors != policies.errors) {
        return Err(Status::invalid(NAMESPACE, text_name(new), &policies.errors));
    }
    let (Some(before), policy) = (before, policies.enforce) else { return Ok(()) };
    let relaxed = policy.version == before.enforce.version && policy.level <= before.enforce.level;
    if policy.level == Level::Privileged || relaxed {
        return Ok(());
    }
    for warning in of_pods(view, text_name(new), policy) {
        info.notes.warn(&warning);
    }
    Ok(())
}

/// What is said of the pods a namespace has when its policy gets stricter.
fn of_pods(view: &dyn View, namespace: &str, policy: Policy) -> Vec<String> {
    let pods = view.list(POD, Some(namespace));
    // By what they violate: the first pod, and how many there are.
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        let value = pod.value();
        let violated = violations(policy, &value["metadata"], &value["spec"]);
        if !violated.is_empty() {
            let reasons: Vec<&str> = violated.iter().map(|v| v.reason).collect();
            let entry = found.entry(reasons.join(", ")).or_insert((pod.name().to_owned(), 0));
            entry.1 += 1;
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > PODS_MAX {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_MAX} of {} existing pods",
            pods.len()
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{policy}\""
        ));
    }
    let mut each: Vec<String> = found
        .into_iter()
        .map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            more => format!("{name} (and {} other pods): {reasons}", more - 1),
        })
        .collect();
    each.sort_unstable();
    warnings.append(&mut each);
    warnings
}

#[cfg(test)]
mod tests;
