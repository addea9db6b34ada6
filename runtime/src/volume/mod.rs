//! Files behind volumes: plain helpers of the file system, called by the kubelet from blocking
//! tasks. Owns no state.

mod atomic;
mod host;
mod subpath;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

pub use atomic::{VolumeFile, write_files};
pub use host::{HostPathType, host_path};
use nix::mount::{MsFlags, mount};
pub use subpath::sub_path;

use crate::{
    error::{Error, Result},
    files, pod,
};

/// Makes an emptyDir (mode 0777, `gid` with setgid when given); on tmpfs when `memory` is set
/// (optionally limited to that many bytes). Idempotent.
///
/// # Errors
/// When the directory or the mount is refused by the kernel.
pub fn empty_dir(
    dir: &Path,
    memory: bool,
    size_limit: Option<u64>,
    gid: Option<u32>,
) -> Result<()> {
    files::make_dir(dir)?;
    if memory && !is_mount_point(dir)? {
        let options = match size_limit {
            Some(bytes) if bytes > 0 => format!("mode=0777,size={bytes}"),
            _ => "mode=0777".to_string(),
        };
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), dir, Some("tmpfs"), flags, Some(options.as_str()))
            .map_err(|e| Error::file("cannot mount tmpfs at", dir)(e.into()))?;
    }
    let mode = match gid {
        Some(gid) => {
            chown(dir, None, Some(gid)).map_err(Error::file("cannot set group of", dir))?;
            0o2777
        }
        None => 0o777,
    };
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
        .map_err(Error::file("cannot set mode of", dir))
}

/// Unmounts everything mounted at or below `dir` and removes it. Idempotent.
///
/// # Errors
/// When a mount is refused to go or a file cannot be removed.
pub fn remove_tree(dir: &Path) -> Result<()> {
    pod::unmount_below(dir)?;
    files::remove_tree(dir)
}

fn is_mount_point(dir: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let device =
        |path: &Path| fs::metadata(path).map(|m| m.dev()).map_err(Error::file("cannot read", path));
    let Some(parent) = dir.parent() else { return Ok(true) };
    Ok(device(dir)? != device(parent)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_dirs_are_for_everybody() {
        let base = tempfile::tempdir().expect("directory");
        let dir = base.path().join("a/b");
        empty_dir(&dir, false, None, None).expect("empty dir");
        empty_dir(&dir, false, None, None).expect("twice is fine");
        let mode = fs::metadata(&dir).expect("directory").permissions().mode();
        assert_eq!(mode & 0o7777, 0o777);
        remove_tree(&base.path().join("a")).expect("remove");
        remove_tree(&base.path().join("a")).expect("twice is fine");
        assert!(!dir.is_dir());
    }

    #[test]
    fn memory_is_mounted_once_and_unmounted() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().expect("directory");
        let dir = base.path().join("m");
        empty_dir(&dir, true, Some(1 << 20), Some(7)).expect("tmpfs");
        empty_dir(&dir, true, Some(1 << 20), Some(7)).expect("twice is fine");
        assert!(is_mount_point(&dir).expect("check"));
        assert!(fs::write(dir.join("big"), vec![0; 2 << 20]).is_err());
        let mode = fs::metadata(&dir).expect("directory").permissions().mode();
        assert_eq!(mode & 0o7777, 0o2777);
        remove_tree(&dir).expect("remove");
        assert!(!dir.is_dir());
    }
}
