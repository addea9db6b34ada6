//! Where the files of a pod are, for the daemon and the shim alike.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    runtime::RuntimeConfig,
    spec::{PodSandboxSpec, Qos},
};

/// Longest name used as a directory name.
const NAME_LIMIT: usize = 128;
/// Longest namespace or pod name (DNS subdomain).
const POD_NAME_LIMIT: usize = 253;

/// Directories and cgroups of one pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodPaths {
    /// `<run>/pods/<uid>`: socket, state, namespaces, bundles.
    pub run: PathBuf,
    /// `<root>/pods/<uid>`: writable layers.
    pub disk: PathBuf,
    /// `<log_root>/<namespace>_<name>_<uid>`.
    pub logs: PathBuf,
    /// Directory that holds the unpacked layers.
    pub layers: PathBuf,
    /// Absolute cgroup of the pod, inside each hierarchy.
    pub cgroup: String,
    /// Absolute cgroup of the pod's shim and its helpers: outside of the pod's limits and of the
    /// daemon's unit. Whatever is in it can be killed when the shim is gone.
    pub shim_cgroup: String,
}

impl PodPaths {
    pub fn new(config: &RuntimeConfig, spec: &PodSandboxSpec) -> Result<Self> {
        check_name("pod uid", &spec.uid, NAME_LIMIT)?;
        check_name("namespace", &spec.namespace, POD_NAME_LIMIT)?;
        check_name("pod name", &spec.name, POD_NAME_LIMIT)?;
        let root = config.cgroup_root.trim_end_matches('/');
        let class = match spec.qos {
            Qos::Guaranteed => String::new(),
            Qos::Burstable => "/burstable".into(),
            Qos::BestEffort => "/besteffort".into(),
        };
        Ok(Self {
            run: config.run.join("pods").join(&spec.uid),
            disk: config.root.join("pods").join(&spec.uid),
            logs: config.log_root.join(format!("{}_{}_{}", spec.namespace, spec.name, spec.uid)),
            layers: config.root.join("images/layers"),
            cgroup: format!("{root}{class}/pod{}", spec.uid),
            shim_cgroup: format!("{root}/{SHIMS}/{}", spec.uid),
        })
    }

    pub fn plan(&self) -> PathBuf {
        self.run.join("plan.json")
    }

    pub fn state(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// Locked as long as the shim lives, from before it was started.
    pub fn lock(&self) -> PathBuf {
        self.run.join("shim.lock")
    }

    /// The cgroup of this pod's shim alone; shims of earlier versions shared one.
    pub fn own_shim_cgroup(&self) -> Option<&str> {
        let (_, last) = self.shim_cgroup.rsplit_once('/')?;
        (last != SHIMS).then_some(&self.shim_cgroup)
    }

    pub fn socket(&self) -> PathBuf {
        self.run.join(SOCKET)
    }

    pub fn namespaces(&self) -> PathBuf {
        self.run.join("ns")
    }

    pub fn namespace(&self, kind: &str) -> PathBuf {
        self.run.join("ns").join(kind)
    }

    pub fn shm(&self) -> PathBuf {
        self.run.join("shm")
    }

    pub fn etc(&self) -> PathBuf {
        self.run.join("etc")
    }

    /// State directories of libcontainer.
    pub fn oci(&self) -> PathBuf {
        self.run.join("oci")
    }

    /// Bundle of a container.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.run.join("containers").join(id)
    }

    /// Writable layer of a container.
    pub fn writable(&self, id: &str) -> PathBuf {
        self.disk.join(id)
    }

    pub fn container_cgroup(&self, id: &str) -> String {
        format!("{}/{id}", self.cgroup)
    }

    pub fn log_file(&self, container: &str, attempt: u32) -> PathBuf {
        self.logs.join(container).join(format!("{attempt}.log"))
    }
}

/// Parent of the shims' cgroups, below the cgroup root.
pub(crate) const SHIMS: &str = "shims";

/// Name of the socket in the pod's run directory.
pub(crate) const SOCKET: &str = "shim.sock";

/// Refuses names that are not plain directory names.
pub(crate) fn check_name(what: &str, name: &str, limit: usize) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > limit || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::Invalid(format!(
            "{what} {name:?} must consist of at most {limit} letters, digits, '-', '_' and '.', and not start with '.'"
        )));
    }
    Ok(())
}

/// Refuses container ids that are not plain names.
pub(crate) fn check_id(id: &str) -> Result<()> {
    check_name("container id", id, NAME_LIMIT)
}

/// A path through which a socket in `dir` can be reached although the whole path may be longer than
/// the 108 bytes a socket address holds. Valid while `dir` is open.
pub(crate) fn short_socket_path(dir: &std::fs::File, name: &str) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "0b8c-1", "coredns_0.1"] {
            assert!(check_id(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn cgroups_follow_the_class() {
        let config = RuntimeConfig {
            root: "/r".into(),
            run: "/n".into(),
            log_root: "/l".into(),
            cgroup_root: "/kubepods/".into(),
            exe: "/x".into(),
        };
        let mut spec = PodSandboxSpec {
            uid: "u".into(),
            namespace: "ns".into(),
            name: "p".into(),
            ..Default::default()
        };
        let paths = |s: &PodSandboxSpec| PodPaths::new(&config, s).expect("paths");
        assert_eq!(paths(&spec).cgroup, "/kubepods/besteffort/podu");
        assert_eq!(paths(&spec).log_file("c", 2), PathBuf::from("/l/ns_p_u/c/2.log"));
        spec.qos = Qos::Guaranteed;
        assert_eq!(paths(&spec).cgroup, "/kubepods/podu");
        assert_eq!(paths(&spec).own_shim_cgroup(), Some("/kubepods/shims/u"));
        let shared = PodPaths { shim_cgroup: "/kubepods/shims".into(), ..paths(&spec) };
        assert_eq!(shared.own_shim_cgroup(), None);
        spec.qos = Qos::Burstable;
        assert_eq!(paths(&spec).container_cgroup("c"), "/kubepods/burstable/podu/c");
    }
}
