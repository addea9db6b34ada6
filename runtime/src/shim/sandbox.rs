//! The pod's shared part: its namespaces, held by bind mounts, its cgroup, /dev/shm and the files in
//! /etc. Runs in the shim before it serves, while it has one thread.

use std::{fs, os::fd::AsFd, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
};

use super::protocol::PodPlan;
use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    files::{self, Durability},
    paths::PodPaths,
    sys,
};

/// Size of /dev/shm, as every runtime sets it.
const SHM_OPTIONS: &str = "mode=1777,size=67108864";

/// Makes everything; answers the pid of the init of a shared pid namespace.
pub(super) fn prepare(plan: &PodPlan) -> Result<Option<i32>> {
    let (spec, paths) = (&plan.spec, &plan.paths);
    let cgroups = Cgroups::detect()?;
    cgroups.create_leaf(&paths.shim_cgroup)?;
    cgroups.enter(&paths.shim_cgroup, std::process::id() as i32)?;
    cgroups.create(&paths.cgroup, &spec.resources)?;
    for dir in [paths.namespaces(), paths.etc(), paths.oci(), paths.run.join("containers")] {
        files::make_private_dir(&dir)?;
    }
    files::make_private_dir(&paths.disk)?;
    files::make_dir(&paths.logs)?;
    write_etc(plan)?;
    if !spec.host_ipc {
        files::make_private_dir(&paths.shm())?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("shm"), &paths.shm(), Some("tmpfs"), flags, Some(SHM_OPTIONS))
            .map_err(|e| Error::file("cannot mount", paths.shm())(e.into()))?;
    }
    make_namespaces(plan)?;
    if spec.share_process_namespace && !spec.host_pid {
        return hold_pid_namespace(paths).map(Some);
    }
    Ok(None)
}

/// Files shown to every container unless it mounts something else there.
fn write_etc(plan: &PodPlan) -> Result<()> {
    let etc = plan.paths.etc();
    let name = format!("{}\n", plan.spec.hostname);
    files::write_atomic(&etc.join("hostname"), name.as_bytes(), Durability::Process)?;
    if let Some(text) = &plan.spec.resolv_conf {
        files::write_atomic(&etc.join("resolv.conf"), text.as_bytes(), Durability::Process)?;
    }
    if let Some(text) = &plan.spec.hosts {
        files::write_atomic(&etc.join("hosts"), text.as_bytes(), Durability::Process)?;
    }
    for name in ["hostname", "resolv.conf", "hosts"] {
        let path = etc.join(name);
        if path.try_exists().unwrap_or(false) {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
                .map_err(Error::file("cannot set mode of", path))?;
        }
    }
    Ok(())
}

/// Enters new namespaces, pins each to a file, and goes back.
fn make_namespaces(plan: &PodPlan) -> Result<()> {
    let spec = &plan.spec;
    let mut wanted = Vec::new();
    if !spec.host_network {
        wanted.push(("net", CloneFlags::CLONE_NEWNET));
        wanted.push(("uts", CloneFlags::CLONE_NEWUTS));
    }
    if !spec.host_ipc {
        wanted.push(("ipc", CloneFlags::CLONE_NEWIPC));
    }
    let mut flags = CloneFlags::empty();
    let mut originals = Vec::new();
    for (name, flag) in &wanted {
        let path = format!("/proc/self/ns/{name}");
        originals.push((fs::File::open(&path).map_err(Error::file("cannot open", path))?, *flag));
        flags |= *flag;
    }
    if !flags.is_empty() {
        unshare(flags).map_err(|e| Error::system("cannot make the pod's namespaces")(e.into()))?;
    }
    let inside = set_up_inside(plan).and_then(|()| {
        wanted.iter().try_for_each(|(name, _)| {
            pin(Path::new(&format!("/proc/self/ns/{name}")), &plan.paths.namespace(name))
        })
    });
    for (file, flag) in originals {
        setns(file.as_fd(), flag)
            .map_err(|e| Error::system("cannot return to the host's namespaces")(e.into()))?;
    }
    inside
}

fn set_up_inside(plan: &PodPlan) -> Result<()> {
    let spec = &plan.spec;
    if !spec.host_network {
        nix::unistd::sethostname(&spec.hostname)
            .map_err(|e| Error::system("cannot set the pod's host name")(e.into()))?;
        sys::loopback_up()?;
    }
    for (name, value) in &spec.sysctls {
        let net = name.starts_with("net.");
        let ipc = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let allowed = (net && !spec.host_network) || (ipc && !spec.host_ipc);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if !allowed || !plain || name.contains("..") {
            return Err(Error::Invalid(format!(
                "sysctl {name:?} does not belong to a namespace of this pod"
            )));
        }
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).map_err(Error::file("cannot set sysctl", path))?;
    }
    Ok(())
}

/// Keeps a namespace alive by a bind mount.
fn pin(namespace: &Path, target: &Path) -> Result<()> {
    fs::File::create(target).map_err(Error::file("cannot make", target))?;
    mount(Some(namespace), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|e| Error::file("cannot pin a namespace to", target)(e.into()))
}

/// Starts the init of a shared pid namespace: it reaps orphans by ignoring SIGCHLD and does nothing
/// else. It must stay alive since a pid namespace ends with its init.
fn hold_pid_namespace(paths: &PodPaths) -> Result<i32> {
    let pid = sys::fork_pid_namespace(|| {
        sys::close_other_fds(&[]);
        // The daemon waits for the end of the shim's standard output.
        if let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = nix::unistd::dup2_stdin(&null);
            let _ = nix::unistd::dup2_stdout(&null);
            let _ = nix::unistd::dup2_stderr(&null);
        }
        sys::reset_signals();
        sys::ignore_signal(nix::sys::signal::Signal::SIGCHLD);
        // Processes of the pod see this one as pid 1: it must not be traceable by them.
        let _ = nix::sys::prctl::set_dumpable(false);
        let _ = nix::sys::prctl::set_name(c"pause");
        nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
        loop {
            nix::unistd::pause();
        }
    })?;
    pin(Path::new(&format!("/proc/{pid}/ns/pid")), &paths.namespace("pid"))?;
    Ok(pid.as_raw())
}
