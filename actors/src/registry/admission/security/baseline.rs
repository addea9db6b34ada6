//! What the baseline level forbids (k8s `pod-security-admission/policy/check_*.go`): each check is
//! named by upstream's id.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::{super::object::text, super::strategy::strings, amounts::list},
    pod::{Pod, Violation, container_words, plural, quoted, violation},
};

/// Capabilities containers have by default.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Kernel settings that touch nothing but the pod, with the version from which they are known to.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];
/// SELinux types a container may be of.
const SELINUX_TYPES: [(&str, u32); 5] = [
    ("", 0),
    ("container_t", 0),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_engine_t", 31),
];
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

fn known(table: &[(&str, u32)], name: &str, pod: Pod<'_>) -> bool {
    table.iter().any(|(known, since)| *known == name && pod.version.from(*since))
}

/// A profile's type, where a profile is set.
pub(super) fn profile<'a>(context: &'a Value, field: &str) -> Option<&'a str> {
    context[field].is_object().then(|| text(&context[field], "type"))
}

pub(super) fn is_good_profile(own: &str) -> bool {
    matches!(own, "RuntimeDefault" | "Localhost")
}

pub(super) fn app_armor_profile(pod: Pod<'_>) -> Option<Violation> {
    let bad = |context: &Value| {
        profile(context, "appArmorProfile").is_some_and(|own| !is_good_profile(own))
    };
    let setters = pod.setters(bad);
    let mut values: Vec<String> = all_profiles(pod, "appArmorProfile");
    let mut annotations: Vec<String> = Vec::new();
    for (key, value) in pod.meta["annotations"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let good =
            value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APPARMOR_ANNOTATION) && !good {
            annotations.push(format!("{key}={value:?}"));
        }
    }
    annotations.sort_unstable();
    let mut who: Vec<String> = setters.words().into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural(annotations.len(), "annotation", "annotations").to_owned());
        values.append(&mut annotations);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    let (who, values) = (who.join(" and "), quoted(&values));
    violation(reason, format!("{who} must not set AppArmor profile type to {values}"))
}

/// The profiles that are not good, each once, in order.
pub(super) fn all_profiles(pod: Pod<'_>, field: &str) -> Vec<String> {
    let contexts = pod.containers().map(|c| &c["securityContext"]);
    let all = std::iter::once(&pod.spec["securityContext"]).chain(contexts);
    let bad = all.filter_map(|context| profile(context, field)).filter(|own| !is_good_profile(own));
    bad.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The containers that add capabilities other than those, and the capabilities.
pub(super) fn added<'a>(pod: Pod<'a>, good: &[&str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let of = |container: &'a Value| -> Vec<&'a str> {
        let all = strings(&container["securityContext"]["capabilities"]["add"]);
        all.into_iter().filter(|name| !good.contains(name)).collect()
    };
    let names = pod.names(|container| !of(container).is_empty());
    let capabilities: BTreeSet<&str> = pod.containers().flat_map(of).collect();
    (names, capabilities.into_iter().collect())
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Violation> {
    let (names, bad) = added(pod, &CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    let (who, what) = (container_words(&names), quoted(&bad));
    let detail = format!("{who} must not include {what} in securityContext.capabilities.add");
    violation("non-default capabilities", detail)
}

pub(super) fn host_namespaces(pod: Pod<'_>) -> Option<Violation> {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| pod.spec[**field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if used.is_empty() { None } else { violation("host namespaces", used.join(", ")) }
}

pub(super) fn host_path_volumes(pod: Pod<'_>) -> Option<Violation> {
    let bad = pod.volumes().iter().filter(|v| v["hostPath"].is_object());
    let names: Vec<&str> = bad.map(|v| text(v, "name")).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} {}", plural(names.len(), "volume", "volumes"), quoted(&names));
    violation("hostPath volumes", detail)
}

pub(super) fn host_ports(pod: Pod<'_>) -> Option<Violation> {
    let of = |container: &Value| -> Vec<i64> {
        let ports = list(&container["ports"]).iter().filter_map(|p| p["hostPort"].as_i64());
        ports.filter(|port| *port != 0).collect()
    };
    let names = pod.names(|container| !of(container).is_empty());
    if names.is_empty() {
        return None;
    }
    // In the order of their texts, as upstream.
    let ports: BTreeSet<String> =
        pod.containers().flat_map(of).map(|port| port.to_string()).collect();
    let uses = plural(names.len(), "uses", "use");
    let what = plural(ports.len(), "hostPort", "hostPorts");
    let all = ports.into_iter().collect::<Vec<_>>().join(", ");
    violation("hostPort", format!("{} {uses} {what} {all}", container_words(&names)))
}

pub(super) fn host_probes(pod: Pod<'_>) -> Option<Violation> {
    if !pod.version.from(34) {
        return None;
    }
    let of = |container: &Value| -> Vec<String> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|p| &container[p]);
        let hooks = ["postStart", "preStop"].map(|h| &container["lifecycle"][h]);
        let handlers = probes.into_iter().chain(hooks);
        let hosts =
            handlers.flat_map(|h| [&h["httpGet"], &h["tcpSocket"]]).map(|h| text(h, "host"));
        hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect()
    };
    let mut names = pod.names(|container| !of(container).is_empty());
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let hosts: BTreeSet<String> = pod.containers().flat_map(of).collect();
    let hosts: Vec<String> = hosts.into_iter().collect();
    let uses = plural(names.len(), "uses", "use");
    let what = plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts");
    let detail = format!("{} {uses} {what} {}", container_words(&names), quoted(&hosts));
    violation("probe or lifecycle host", detail)
}

pub(super) fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let names = pod.names(|c| c["securityContext"]["privileged"] == true);
    if names.is_empty() {
        return None;
    }
    let who = container_words(&names);
    violation("privileged", format!("{who} must not set securityContext.privileged=true"))
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() { None } else { any_proc_mount(pod) }
}

/// As [`proc_mount`], whosever the pod's users are.
pub(super) fn any_proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let of = |container: &Value| {
        let own = container["securityContext"]["procMount"].as_str();
        own.filter(|own| *own != "Default").map(str::to_owned)
    };
    let names = pod.names(|container| of(container).is_some());
    if names.is_empty() {
        return None;
    }
    let bad: BTreeSet<String> = pod.containers().filter_map(of).collect();
    let bad = quoted(&bad.into_iter().collect::<Vec<_>>());
    let who = container_words(&names);
    violation("procMount", format!("{who} must not set securityContext.procMount to {bad}"))
}

pub(super) fn se_linux_options(pod: Pod<'_>) -> Option<Violation> {
    let options = |context: &Value| context["seLinuxOptions"].clone();
    let bad_type = |options: &Value| !known(&SELINUX_TYPES, text(options, "type"), pod);
    let sets = |options: &Value, field: &str| !text(options, field).is_empty();
    let bad = |context: &Value| {
        let own = options(context);
        own.is_object() && (bad_type(&own) || sets(&own, "user") || sets(&own, "role"))
    };
    let who = pod.setters(bad).words()?;
    let contexts = pod.containers().map(|c| &c["securityContext"]);
    let all: Vec<Value> =
        std::iter::once(&pod.spec["securityContext"]).chain(contexts).map(options).collect();
    let types: BTreeSet<&str> = all
        .iter()
        .filter(|own| own.is_object() && bad_type(own))
        .map(|own| text(own, "type"))
        .collect();
    let mut what = Vec::new();
    if !types.is_empty() {
        let types: Vec<&str> = types.into_iter().collect();
        what.push(format!("{} {}", plural(types.len(), "type", "types"), quoted(&types)));
    }
    for field in ["user", "role"] {
        if all.iter().any(|own| sets(own, field)) {
            what.push(format!("{field} may not be set"));
        }
    }
    let what = what.join("; ");
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {what}");
    violation("seLinuxOptions", detail)
}

pub(super) fn seccomp_profile(pod: Pod<'_>) -> Option<Violation> {
    if !pod.version.from(19) {
        return seccomp_annotations(pod);
    }
    let who = pod
        .setters(|c| profile(c, "seccompProfile").is_some_and(|own| !is_good_profile(own)))
        .words()?;
    let values = quoted(&all_profiles(pod, "seccompProfile"));
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {values}");
    violation("seccompProfile", detail)
}

fn seccomp_annotations(pod: Pod<'_>) -> Option<Violation> {
    let containers = pod.containers().map(|c| format!("{SECCOMP_ANNOTATION}{}", text(c, "name")));
    let keys = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(containers);
    let bad: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = pod.meta["annotations"][&key].as_str()?;
            let good = matches!(value, "runtime/default" | "docker/default")
                || value.starts_with("localhost/");
            (!good).then(|| format!("{key}={value:?}"))
        })
        .collect();
    if bad.is_empty() {
        return None;
    }
    let what = plural(bad.len(), "annotation", "annotations");
    let all = bad.into_iter().collect::<Vec<_>>().join(", ");
    violation("seccompProfile", format!("forbidden {what} {all}"))
}

pub(super) fn sysctls(pod: Pod<'_>) -> Option<Violation> {
    let all = list(&pod.spec["securityContext"]["sysctls"]).iter().map(|s| text(s, "name"));
    let bad: Vec<&str> = all.filter(|name| !known(&SYSCTLS, name, pod)).collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(pod: Pod<'_>) -> Option<Violation> {
    let who = pod.setters(|context| context["windowsOptions"]["hostProcess"] == true).words()?;
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    violation("hostProcess", detail)
}
