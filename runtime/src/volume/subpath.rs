//! subPath of a volume mount. The pod's own containers may write into the volume and swap a directory
//! for a symbolic link while we look: so the path is walked once by the kernel inside the volume, and
//! what was found is pinned by a bind mount made from its open descriptor.

use std::{
    fs::{self, File},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MsFlags, mount},
    sys::stat::{Mode, mkdirat},
};

use crate::{
    error::{Error, Result},
    files, pod,
};

/// Resolves `sub_path` inside `volume` without ever leaving it, making missing directories; answers a
/// path to hand to `ContainerSpec::mounts`. What it names cannot be swapped any more: `anchor`, a
/// path in a directory of the pod, is where the target is pinned by a bind mount. It goes with
/// [`super::remove_tree`] of that directory. Calling it again with the same anchor starts anew.
///
/// # Errors
/// [`Error::Invalid`] for a path that is absolute or contains `..`, [`Error::File`] when a symbolic
/// link leads out of the volume.
pub fn sub_path(volume: &Path, sub_path: &str, anchor: &Path) -> Result<PathBuf> {
    let path = Path::new(sub_path);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if sub_path.is_empty() || !plain {
        return Err(Error::Invalid(format!("subPath {sub_path:?} must be relative, without '..'")));
    }
    let root = File::open(volume).map_err(Error::file("cannot open volume", volume))?;
    let target = open_or_make(&root, volume, path)?;
    pod::unmount_below(anchor)?;
    let found = fs::metadata(fd_path(&target)).map_err(Error::file("cannot read", path))?;
    if found.is_dir() {
        files::make_dir(anchor)?;
    } else {
        if let Some(parent) = anchor.parent() {
            files::make_dir(parent)?;
        }
        File::create(anchor).map_err(Error::file("cannot make", anchor))?;
    }
    mount(Some(&fd_path(&target)), anchor, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|e| Error::file("cannot pin the subPath at", anchor)(e.into()))?;
    let pinned = fs::metadata(anchor).map_err(Error::file("cannot read", anchor))?;
    if (pinned.dev(), pinned.ino()) != (found.dev(), found.ino()) {
        return Err(Error::Invalid(format!("subPath {sub_path:?} changed while it was mounted")));
    }
    Ok(anchor.to_path_buf())
}

fn fd_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Walks one element at a time, so that what is missing can be made in the directory just opened.
fn open_or_make(root: &File, volume: &Path, path: &Path) -> Result<OwnedFd> {
    let mut walked = PathBuf::from(".");
    let mut current = open_beneath(root, &walked).map_err(|e| failed(volume, &walked, e))?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        walked.push(name);
        let next = match open_beneath(root, &walked) {
            Err(nix::Error::ENOENT) => {
                match mkdirat(&current, name, Mode::from_bits_truncate(0o750)) {
                    Ok(()) | Err(nix::Error::EEXIST) => {}
                    Err(e) => return Err(failed(volume, &walked, e)),
                }
                open_beneath(root, &walked)
            }
            other => other,
        };
        current = next.map_err(|e| failed(volume, &walked, e))?;
    }
    Ok(current)
}

fn open_beneath(root: &File, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

fn failed(volume: &Path, path: &Path, e: nix::Error) -> Error {
    Error::file("cannot use subPath", volume.join(path))(e.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_volume() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().expect("directory");
        let volume = base.path().join("volume");
        fs::create_dir_all(volume.join("a")).expect("volume");
        fs::write(volume.join("a/f"), "x").expect("file");
        std::os::unix::fs::symlink("/etc", volume.join("out")).expect("link");
        std::os::unix::fs::symlink("a", volume.join("in")).expect("link");
        let anchor = base.path().join("pins/0");
        for bad in ["", "/etc", "../x", "a/../..", "out", "out/passwd"] {
            assert!(sub_path(&volume, bad, &anchor).is_err(), "{bad:?}");
        }
        let pinned = sub_path(&volume, "in/f", &anchor).expect("file through an inner link");
        assert_eq!(fs::read_to_string(pinned).expect("file"), "x");
        super::super::remove_tree(&base.path().join("pins")).expect("remove");
        let pinned = sub_path(&volume, "new/deep", &anchor).expect("made");
        fs::write(pinned.join("y"), "y").expect("write");
        assert!(volume.join("new/deep/y").is_file());
        super::super::remove_tree(&base.path().join("pins")).expect("remove");
        assert!(volume.join("new/deep/y").is_file());
    }
}
