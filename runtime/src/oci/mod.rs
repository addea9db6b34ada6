//! The work of a helper process: making a container, or a command in one, with libcontainer. All of
//! it runs in a fork of the shim with one thread and ends with it.

mod caps;
mod config;
mod mounts;
mod process;
mod rootfs;
mod seccomp;
mod trace;
mod user;

use std::{
    error::Error as _,
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use libcontainer::{container::builder::ContainerBuilder, syscall::syscall::SyscallType};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use trace::Trace;

use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    files::{self, Durability},
    shim::protocol::PodPlan,
    spec::ContainerSpec,
    sys,
};

/// Name of the specification in a container's bundle.
pub(crate) const PLAN: &str = "plan.json";
/// Name of the socket in the bundle on which a terminal arrives.
pub(crate) const CONSOLE_SOCKET: &str = "console.sock";

/// Standard streams for a new process; a terminal replaces them.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// Makes the container whose plan lies in its bundle; answers the pid of its process, which waits
/// to be started and is a child of the shim.
pub(crate) fn create(pod: &PodPlan, id: &str, stdio: &Stdio) -> Result<i32> {
    let trace = Trace::start()?;
    let bundle = pod.paths.bundle(id);
    let spec: ContainerSpec = files::read_json(&bundle.join(PLAN))?;
    let root = bundle.join("rootfs");
    rootfs::mount(&pod.paths, &spec, &root)?;
    let config = config::build(pod, &spec, &root, &Cgroups::detect()?)?;
    files::write_json(&bundle.join("config.json"), &config, Durability::Process)?;
    let console = spec.tty.then(|| bundle.join(CONSOLE_SOCKET));
    let build = || {
        let mut builder = ContainerBuilder::new(id.to_string(), SyscallType::default())
            .with_root_path(pod.paths.oci())?
            .with_console_socket(console.as_deref());
        if let Some(fd) = copy(&stdio.stdin) {
            builder = builder.with_stdin(fd);
        }
        if let Some(fd) = copy(&stdio.stdout) {
            builder = builder.with_stdout(fd);
        }
        if let Some(fd) = copy(&stdio.stderr) {
            builder = builder.with_stderr(fd);
        }
        builder
            .validate_id()?
            .as_init(&bundle)
            .with_systemd(false)
            .with_detach(true)
            .as_sibling(true)
            .build()
    };
    let container = build().map_err(|e| Error::Create(explain(&e, trace)))?;
    let pid = container.pid().ok_or_else(|| Error::Create("libcontainer gave no pid".into()))?;
    Ok(pid.as_raw())
}

/// Starts a command in a running container; answers its pid, a child of the shim.
pub(crate) fn exec(
    pod: &PodPlan,
    id: &str,
    key: u64,
    command: &[String],
    stdio: &Stdio,
) -> Result<i32> {
    let trace = Trace::start()?;
    let bundle = pod.paths.bundle(id);
    let mut config: serde_json::Value = files::read_json(&bundle.join("config.json"))?;
    let mut process = config["process"].take();
    process["args"] = command.into();
    process["terminal"] = false.into();
    let file = bundle.join(format!("exec-{key}.json"));
    files::write_json(&file, &process, Durability::Process)?;
    let build = || {
        let mut builder = ContainerBuilder::new(id.to_string(), SyscallType::default())
            .with_root_path(pod.paths.oci())?;
        if let Some(fd) = copy(&stdio.stdin) {
            builder = builder.with_stdin(fd);
        }
        if let Some(fd) = copy(&stdio.stdout) {
            builder = builder.with_stdout(fd);
        }
        if let Some(fd) = copy(&stdio.stderr) {
            builder = builder.with_stderr(fd);
        }
        builder
            .validate_id()?
            .as_tenant()
            .with_process(Some(&file))
            .with_detach(true)
            .as_sibling(true)
            .build()
    };
    let result = build();
    let _ = fs::remove_file(&file);
    result.map(|pid| pid.as_raw()).map_err(|e| Error::Exec(explain(&e, trace)))
}

/// Lets reads of a descriptor return at once.
pub(crate) fn set_nonblocking(fd: &OwnedFd) -> Result<()> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map(drop)
        .map_err(|e| Error::system("cannot set up a descriptor")(e.into()))
}

fn copy(fd: &Option<OwnedFd>) -> Option<OwnedFd> {
    fd.as_ref().and_then(|fd| sys::dup(as_fd(fd)).ok())
}

fn as_fd(fd: &OwnedFd) -> BorrowedFd<'_> {
    fd.as_fd()
}

/// An error with its causes and the first thing that was logged about it, each said once.
fn explain(error: &libcontainer::error::LibcontainerError, trace: Trace) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    let reason = trace.reasons();
    if !reason.is_empty() && !text.contains(&reason) {
        text.push_str(": ");
        text.push_str(&reason);
    }
    text
}

/// Paths of the host that never appear inside containers.
pub(crate) fn is_plain_absolute(path: &Path) -> bool {
    use std::path::Component;
    path.is_absolute()
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
}
