//! config.json of a container (OCI runtime specification 1.0).

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{mounts, process, seccomp, user};
use crate::{
    cgroup::{Cgroups, DEFAULT_PERIOD_US},
    error::Result,
    shim::protocol::PodPlan,
    spec::{ContainerSpec, Resources},
};

/// Hidden from containers that are not privileged, as all runtimes do.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Read-only in containers that are not privileged.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Builds the whole document; `root` is already mounted.
pub(super) fn build(
    plan: &PodPlan,
    spec: &ContainerSpec,
    root: &Path,
    cgroups: &Cgroups,
) -> Result<Value> {
    let unified = cgroups.is_unified();
    let pod = &plan.spec;
    let user = user::resolve(root, &spec.image.config.user, &spec.security)?;
    let mut linux = json!({
        "namespaces": namespaces(plan, unified),
        "cgroupsPath": plan.paths.container_cgroup(&spec.id),
        "resources": resources(spec, unified),
    });
    if !spec.security.privileged {
        if !spec.security.unmasked_proc {
            linux["maskedPaths"] = json!(MASKED);
            linux["readonlyPaths"] = json!(READ_ONLY);
        }
        if let Some(filter) = seccomp::profile(&spec.security)? {
            linux["seccomp"] = filter;
        }
    } else {
        linux["devices"] = Value::Array(host_devices());
    }
    // No "hostname": the pod's uts namespace has it already.
    Ok(json!({
        "ociVersion": "1.0.2",
        "root": { "path": root, "readonly": spec.security.read_only_root },
        "process": process::build(pod, spec, &user)?,
        "mounts": mounts::build(pod, &plan.paths, spec, cgroups)?,
        "linux": linux,
    }))
}

fn namespaces(plan: &PodPlan, unified: bool) -> Vec<Value> {
    let pod = &plan.spec;
    let joined =
        |kind: &str, file: &str| json!({ "type": kind, "path": plan.paths.namespace(file) });
    let mut list = vec![json!({ "type": "mount" })];
    if pod.share_process_namespace && !pod.host_pid {
        list.push(joined("pid", "pid"));
    } else if !pod.host_pid {
        list.push(json!({ "type": "pid" }));
    }
    if !pod.host_network {
        list.push(joined("network", "net"));
        list.push(joined("uts", "uts"));
    }
    if !pod.host_ipc {
        list.push(joined("ipc", "ipc"));
    }
    if unified {
        list.push(json!({ "type": "cgroup" }));
    }
    list
}

fn resources(spec: &ContainerSpec, unified: bool) -> Value {
    let limits: &Resources = &spec.resources;
    let mut out = Map::new();
    // Deny first; libcontainer adds the devices every container needs.
    out.insert("devices".into(), json!([{ "allow": spec.security.privileged, "access": "rwm" }]));
    let mut cpu = Map::new();
    if let Some(shares) = limits.cpu_shares {
        cpu.insert("shares".into(), shares.into());
    }
    if let Some(quota) = limits.cpu_quota_us {
        cpu.insert("quota".into(), quota.into());
        cpu.insert("period".into(), limits.cpu_period_us.unwrap_or(DEFAULT_PERIOD_US).into());
    }
    if !cpu.is_empty() {
        out.insert("cpu".into(), cpu.into());
    }
    if let Some(limit) = limits.memory_limit_bytes {
        out.insert("memory".into(), json!({ "limit": limit }));
    }
    if let Some(limit) = limits.pids_limit {
        out.insert("pids".into(), json!({ "limit": limit }));
    }
    if unified {
        // One process over the limit ends the whole container, as Kubernetes expects.
        out.insert("unified".into(), json!({ "memory.oom.group": "1" }));
    }
    out.into()
}

/// Devices of the host for a privileged container.
fn host_devices() -> Vec<Value> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    /// More devices than any machine has; a bound all the same.
    const LIMIT: usize = 4096;
    let mut list = Vec::new();
    let mut dirs = vec![std::path::PathBuf::from("/dev")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let skip = ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".udev"];
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            if skip.iter().any(|s| name == *s) || list.len() >= LIMIT {
                continue;
            }
            let kind = meta.file_type();
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_char_device() || kind.is_block_device() {
                let (major, minor) =
                    (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
                list.push(json!({
                    "path": path,
                    "type": if kind.is_char_device() { "c" } else { "b" },
                    "major": major, "minor": minor,
                    "fileMode": meta.mode() & 0o7777, "uid": meta.uid(), "gid": meta.gid(),
                }));
            }
        }
    }
    list
}
