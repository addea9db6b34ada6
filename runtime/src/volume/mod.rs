//! Files behind volumes: plain helpers of the file system, called by the kubelet from blocking
//! tasks. Owns no state.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One file of a configMap, secret, downward or projected volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative path inside the volume (`a/b.conf`).
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits (0o644).
    pub mode: u32,
    /// Owner; the process's own when absent.
    pub uid: Option<u32>,
    /// Group (`fsGroup`); the process's own when absent.
    pub gid: Option<u32>,
}

/// What a hostPath volume must find (`type` of the volume).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostPathType {
    /// No check.
    #[default]
    Unset,
    /// Make the directory (0755) when absent.
    DirectoryOrCreate,
    /// Must be a directory.
    Directory,
    /// Make the file (0644) when absent.
    FileOrCreate,
    /// Must be a file.
    File,
    /// Must be a socket.
    Socket,
    /// Must be a character device.
    CharDevice,
    /// Must be a block device.
    BlockDevice,
}

/// Makes an emptyDir (mode 0777, `gid` with setgid when given); on tmpfs when `memory` is set
/// (optionally limited to that many bytes). Idempotent.
pub fn empty_dir(
    dir: &Path,
    _memory: bool,
    _size_limit: Option<u64>,
    _gid: Option<u32>,
) -> Result<()> {
    Err(Error::Unsupported(format!("emptyDir at {}", dir.display())))
}

/// Writes the files of a volume so that readers see all old or all new ones (`..data` symlink, as
/// kubelet's AtomicWriter does). Answers whether anything changed.
pub fn write_files(dir: &Path, _files: &[VolumeFile]) -> Result<bool> {
    Err(Error::Unsupported(format!("files at {}", dir.display())))
}

/// Checks (and for the `OrCreate` types makes) a hostPath.
pub fn host_path(path: &Path, _kind: HostPathType) -> Result<()> {
    Err(Error::Unsupported(format!("hostPath {}", path.display())))
}

/// Resolves `sub_path` inside `volume` without ever leaving it, making missing directories; answers
/// a path that is safe to hand to `ContainerSpec::mounts`: what it names cannot be swapped any more.
/// `anchor` is a directory of the pod, where the resolved target is pinned by a bind mount.
pub fn sub_path(volume: &Path, sub_path: &str, _anchor: &Path) -> Result<PathBuf> {
    Err(Error::Unsupported(format!("subPath {sub_path} in {}", volume.display())))
}

/// Unmounts everything mounted at or below `dir` and removes it. Idempotent.
pub fn remove_tree(dir: &Path) -> Result<()> {
    Err(Error::Unsupported(format!("removal of {}", dir.display())))
}
