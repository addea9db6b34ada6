//! What the kubelet hands over: plain data for a pod's sandbox and its containers. Everything here
//! is serialisable, since it travels to the shim and, in parts, survives in its state file.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::image::ImageInfo;

/// Kubernetes' quality-of-service class; decides the parent cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Qos {
    /// `<root>/pod<uid>`
    Guaranteed,
    /// `<root>/burstable/pod<uid>`
    Burstable,
    /// `<root>/besteffort/pod<uid>`
    #[default]
    BestEffort,
}

/// Limits of a cgroup. `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Relative weight, 2–262144 (1024 = one CPU); converted to `cpu.weight` on cgroup v2.
    pub cpu_shares: Option<u64>,
    /// CPU time per period, in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// Period of the quota, in microseconds; 100000 when absent.
    pub cpu_period_us: Option<u64>,
    /// Memory limit, in bytes.
    pub memory_limit_bytes: Option<i64>,
    /// Maximum number of tasks.
    pub pids_limit: Option<i64>,
}

/// How container logs are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPolicy {
    /// A log file larger than this is set aside (kubelet `containerLogMaxSize`).
    pub max_size_bytes: u64,
    /// Files kept for one container, the current one included (kubelet `containerLogMaxFiles`).
    pub max_files: u32,
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self { max_size_bytes: 10 * 1024 * 1024, max_files: 5 }
    }
}

/// A pod's shared part: namespaces, cgroup, files common to its containers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PodSandboxSpec {
    /// Pod uid (`metadata.uid`, or the config hash of a static pod).
    pub uid: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Host name inside the pod (ignored with `host_network`).
    pub hostname: String,
    /// Use the host's network (and uts) namespace.
    pub host_network: bool,
    /// Use the host's pid namespace.
    pub host_pid: bool,
    /// Use the host's ipc namespace and /dev/shm.
    pub host_ipc: bool,
    /// One pid namespace for all containers, held by a tiny init.
    pub share_process_namespace: bool,
    /// Namespaced sysctls, dotted names (`net.ipv4.ip_unprivileged_port_start`).
    pub sysctls: BTreeMap<String, String>,
    /// Parent cgroup.
    pub qos: Qos,
    /// Limits of the pod's cgroup.
    pub resources: Resources,
    /// Content of /etc/resolv.conf in every container; the host's file when absent.
    pub resolv_conf: Option<String>,
    /// Content of /etc/hosts in every container; may be set later with `Pod::set_hosts`, when the
    /// pod's address is known. The image's own file when never set.
    pub hosts: Option<String>,
    /// Rotation of container logs.
    pub log: LogPolicy,
    /// Free data of the caller; kept over daemon restarts and given back in `PodStatus`.
    pub annotations: BTreeMap<String, String>,
}

/// Mount propagation of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Propagation {
    /// `None` in Kubernetes: later mounts are not seen on either side.
    #[default]
    Private,
    /// Later mounts of the host are seen in the container.
    HostToContainer,
    /// Refused with an error: not supported.
    Bidirectional,
}

/// A file or directory of the host shown in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host; must exist (see [`crate::volume`] for subPath resolution).
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Mount read-only.
    pub read_only: bool,
    /// Propagation.
    pub propagation: Propagation,
}

/// Which system call filter applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Seccomp {
    /// No filter (the Kubernetes default).
    #[default]
    Unconfined,
    /// The built-in, Docker-like profile.
    RuntimeDefault,
    /// An OCI seccomp profile in JSON on this node.
    Localhost(PathBuf),
}

/// `securityContext`, already merged from pod and container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Security {
    /// Numeric user; the image's user (or root) when absent.
    pub run_as_user: Option<u32>,
    /// Numeric group; the user's primary group in the image when absent.
    pub run_as_group: Option<u32>,
    /// Supplemental groups, `fsGroup` included.
    pub supplemental_groups: Vec<u32>,
    /// Refuse to create the container when it would run as user 0.
    pub run_as_non_root: bool,
    /// All capabilities, all devices, no masked paths, no filter.
    pub privileged: bool,
    /// Root filesystem read-only.
    pub read_only_root: bool,
    /// `false` sets `no_new_privs`. Kubernetes' default is `true`: set it.
    pub allow_privilege_escalation: bool,
    /// Capabilities added to the default set, without `CAP_`; `ALL` for all.
    pub add_capabilities: Vec<String>,
    /// Capabilities removed from the default set, without `CAP_`; `ALL` for all.
    pub drop_capabilities: Vec<String>,
    /// System call filter.
    pub seccomp: Seccomp,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

/// One container of a pod.
///
/// Command, arguments, environment, directory and user are resolved by the runtime from this
/// specification and the image's configuration, with Kubernetes' rules (`command` replaces the
/// entrypoint and drops the image's cmd; `args` replaces cmd).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique on the node: letters, digits, `-`, `_`, at most 128 characters. The kubelet reports
    /// it as `kabuki://<id>`.
    pub id: String,
    /// Container name in the pod.
    pub name: String,
    /// Restart count; names the log file.
    pub attempt: u32,
    /// The image, as the image store answered it.
    pub image: ImageInfo,
    /// `command`; the image's entrypoint when empty.
    pub command: Vec<String>,
    /// `args`; the image's cmd when this and `command` are empty.
    pub args: Vec<String>,
    /// Environment in order, already expanded; laid over the image's.
    pub env: Vec<(String, String)>,
    /// Working directory; the image's (or `/`) when absent.
    pub working_dir: Option<PathBuf>,
    /// Volumes, in order (parents before children is arranged by the runtime).
    pub mounts: Vec<Mount>,
    /// Security context.
    pub security: Security,
    /// Limits of the container's cgroup.
    pub resources: Resources,
    /// −1000..1000.
    pub oom_score_adj: Option<i32>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep standard input open (blocked) instead of /dev/null.
    pub stdin: bool,
    /// Free data of the caller, given back in `ContainerStatus`.
    pub annotations: BTreeMap<String, String>,
}
