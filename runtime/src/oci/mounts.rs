//! The mounts of a container: the kernel's file systems, the pod's shared files, the volumes.

use std::path::Path;

use serde_json::{Value, json};

use super::is_plain_absolute;
use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    paths::PodPaths,
    spec::{ContainerSpec, Mount, PodSandboxSpec, Propagation},
};

/// v1 controllers a program may want to read.
const SHOWN_CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];

/// The `mounts` array of config.json.
pub(super) fn build(
    pod: &PodSandboxSpec,
    paths: &PodPaths,
    spec: &ContainerSpec,
    cgroups: &Cgroups,
) -> Result<Vec<Value>> {
    let taken = |target: &str| spec.mounts.iter().any(|m| m.target == Path::new(target));
    let mut list = kernel_mounts(spec);
    if !taken("/sys/fs/cgroup") {
        list.extend(cgroup_mounts(cgroups, &paths.container_cgroup(&spec.id), spec));
    }
    if !taken("/dev/shm") {
        let shm = paths.shm();
        let source = if pod.host_ipc { Path::new("/dev/shm") } else { &shm };
        list.push(bind(source, "/dev/shm", false, "rprivate"));
    }
    let hosts_own = Path::new("/etc/resolv.conf");
    for (name, fallback) in [("hosts", None), ("resolv.conf", Some(hosts_own)), ("hostname", None)]
    {
        let own = paths.etc().join(name);
        let exists = |path: &Path| path.try_exists().unwrap_or(false);
        let source = Some(own.as_path()).filter(|p| exists(p)).or(fallback.filter(|p| exists(p)));
        let target = format!("/etc/{name}");
        if let Some(source) = source.filter(|_| !taken(&target)) {
            let read_only = spec.security.read_only_root;
            list.push(bind(source, &target, read_only, "rprivate"));
        }
    }
    let mut volumes: Vec<&Mount> = spec.mounts.iter().collect();
    // Parents first, so that a volume inside another volume is not hidden by it.
    volumes.sort_by_key(|m| m.target.components().count());
    for volume in volumes {
        list.push(volume_mount(volume)?);
    }
    Ok(list)
}

fn volume_mount(volume: &Mount) -> Result<Value> {
    for path in [&volume.source, &volume.target] {
        if !is_plain_absolute(path) {
            return Err(Error::Invalid(format!(
                "mount path {} must be absolute and free of '..'",
                path.display()
            )));
        }
    }
    let propagation = match volume.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => {
            return Err(Error::Unsupported(format!(
                "mountPropagation Bidirectional (volume at {}); use HostToContainer or None",
                volume.target.display()
            )));
        }
    };
    let target = volume.target.to_string_lossy();
    Ok(bind(&volume.source, &target, volume.read_only, propagation))
}

fn bind(source: &Path, target: &str, read_only: bool, propagation: &str) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    json!({
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind", propagation, access],
    })
}

fn kernel_mounts(spec: &ContainerSpec) -> Vec<Value> {
    let access = if spec.security.privileged { "rw" } else { "ro" };
    vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc",
            "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", access] }),
    ]
}

/// The container's own cgroup at /sys/fs/cgroup, where language runtimes look for their limits.
/// libcontainer's mount of v1 hierarchies is writable whatever its options say, so that a container
/// could lift its own limits: there, each directory is bound read-only instead.
fn cgroup_mounts(cgroups: &Cgroups, path: &str, spec: &ContainerSpec) -> Vec<Value> {
    let access = if spec.security.privileged { "rw" } else { "ro" };
    if cgroups.is_unified() {
        return vec![
            json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", access] }),
        ];
    }
    let mut list = vec![json!({ "destination": "/sys/fs/cgroup", "type": "tmpfs",
        "source": "tmpfs", "options": ["nosuid", "noexec", "nodev", "mode=755", "size=64k"] })];
    for controller in SHOWN_CONTROLLERS {
        if let Some(dir) = cgroups.directory(controller, path) {
            let target = format!("/sys/fs/cgroup/{controller}");
            list.push(bind(&dir, &target, !spec.security.privileged, "rprivate"));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_sorted_and_checked() {
        let mount = |source: &str, target: &str| Mount {
            source: source.into(),
            target: target.into(),
            read_only: true,
            propagation: Propagation::Private,
        };
        assert!(volume_mount(&mount("/a/../b", "/x")).is_err());
        assert!(volume_mount(&mount("/a", "x")).is_err());
        let ok = volume_mount(&mount("/a", "/x")).expect("mount");
        assert_eq!(ok["options"], json!(["rbind", "rprivate", "ro"]));
        let both = Mount { propagation: Propagation::Bidirectional, ..mount("/a", "/x") };
        assert!(volume_mount(&both).is_err());
    }
}
