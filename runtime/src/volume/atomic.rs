//! Files that change all at once: a new directory is filled, then one symbolic link (`..data`) is
//! turned to it, as kubelet's AtomicWriter does (pkg/volume/util/atomic_writer.go).

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Component, Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    files,
};

/// The link that is turned, and its next version.
const DATA: &str = "..data";
const DATA_TMP: &str = "..data_tmp";
/// Limits of one volume: a Secret or ConfigMap is at most 1 MiB, a projected volume holds several.
const FILE_LIMIT: usize = 20_000;
const SIZE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

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

/// Writes the files of a volume so that readers see all old or all new ones. Answers whether anything
/// changed; when nothing did, nothing is touched.
///
/// # Errors
/// [`Error::Invalid`] for a path that is absolute, contains `..` or is beyond a limit.
pub fn write_files(dir: &Path, list: &[VolumeFile]) -> Result<bool> {
    check(list)?;
    files::make_dir(dir)?;
    let data = dir.join(DATA);
    let old = fs::read_link(&data).ok();
    if old.is_some() && is_same(&data, list) {
        return Ok(false);
    }
    let stamp = format!("..{}", uuid::Uuid::new_v4().simple());
    let fresh = dir.join(&stamp);
    fill(&fresh, list)?;
    let next = dir.join(DATA_TMP);
    files::remove_file(&next)?;
    symlink(&stamp, &next).map_err(Error::file("cannot make link", &next))?;
    fs::rename(&next, &data).map_err(Error::file("cannot turn link", &data))?;
    link_names(dir, list)?;
    if let Some(old) = old.filter(|o| o.components().count() == 1) {
        files::remove_tree(&dir.join(old))?;
    }
    Ok(true)
}

fn check(list: &[VolumeFile]) -> Result<()> {
    let size: usize = list.iter().map(|f| f.content.len()).sum();
    if list.len() > FILE_LIMIT || size > SIZE_LIMIT_BYTES {
        return Err(Error::Invalid(format!(
            "a volume of {} files and {size} bytes; at most {FILE_LIMIT} and {SIZE_LIMIT_BYTES}",
            list.len()
        )));
    }
    for file in list {
        let path = Path::new(&file.path);
        let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
        if file.path.is_empty() || !plain || file.path.starts_with("..") {
            return Err(Error::Invalid(format!(
                "volume path {:?} must be relative, without '..'",
                file.path
            )));
        }
    }
    Ok(())
}

fn is_same(data: &Path, list: &[VolumeFile]) -> bool {
    let mut have = BTreeSet::new();
    list_files(data, Path::new(""), &mut have);
    let want: BTreeSet<PathBuf> = list.iter().map(|f| PathBuf::from(&f.path)).collect();
    have == want
        && list.iter().all(|file| {
            let path = data.join(&file.path);
            let mode = fs::metadata(&path).map(|m| m.permissions().mode() & 0o7777).ok();
            mode == Some(file.mode & 0o7777) && fs::read(&path).is_ok_and(|c| c == file.content)
        })
}

fn list_files(base: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(base.join(below)).into_iter().flatten().flatten() {
        let path = below.join(entry.file_name());
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            list_files(base, &path, found);
        } else {
            found.insert(path);
        }
    }
}

fn fill(dir: &Path, list: &[VolumeFile]) -> Result<()> {
    files::make_dir(dir)?;
    set_mode(dir, 0o755)?;
    for file in list {
        let path = dir.join(&file.path);
        if let Some(parent) = path.parent() {
            files::make_dir(parent)?;
        }
        fs::write(&path, &file.content).map_err(Error::file("cannot write", &path))?;
        // The owner first: changing it clears special bits.
        if file.uid.is_some() || file.gid.is_some() {
            chown(&path, file.uid, file.gid).map_err(Error::file("cannot set owner of", &path))?;
        }
        set_mode(&path, file.mode & 0o7777)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::file("cannot set mode of", path))
}

/// Makes `name -> ..data/name` for every first path element, and removes links to what is gone.
fn link_names(dir: &Path, list: &[VolumeFile]) -> Result<()> {
    let wanted: BTreeSet<&str> =
        list.iter().filter_map(|f| f.path.split('/').next()).filter(|n| !n.is_empty()).collect();
    for entry in fs::read_dir(dir).map_err(Error::file("cannot list", dir))?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
        if is_link && !name.starts_with("..") && !wanted.contains(name.as_str()) {
            files::remove_file(&entry.path())?;
        }
    }
    for name in wanted {
        let link = dir.join(name);
        match symlink(Path::new(DATA).join(name), &link) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::file("cannot make link", link)(e));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> VolumeFile {
        VolumeFile { path: path.into(), content: content.into(), mode: 0o640, uid: None, gid: None }
    }

    #[test]
    fn files_change_together() {
        let base = tempfile::tempdir().expect("directory");
        let dir = base.path().join("v");
        let first = [file("a", "1"), file("sub/b", "2")];
        assert!(write_files(&dir, &first).expect("write"));
        assert!(!write_files(&dir, &first).expect("write"));
        assert_eq!(fs::read_to_string(dir.join("sub/b")).expect("b"), "2");
        let mode = fs::metadata(dir.join("a")).expect("a").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let held = fs::read_link(dir.join(DATA)).expect("data");
        assert!(write_files(&dir, &[file("a", "new"), file("c", "3")]).expect("write"));
        assert_eq!(fs::read_to_string(dir.join("a")).expect("a"), "new");
        assert_eq!(fs::read_to_string(dir.join("c")).expect("c"), "3");
        assert!(fs::symlink_metadata(dir.join("sub")).is_err());
        assert!(!dir.join(held).is_dir());
        assert!(write_files(&dir, &[]).expect("write"));
        let left: Vec<_> = fs::read_dir(&dir).expect("list").flatten().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn paths_stay_inside() {
        let base = tempfile::tempdir().expect("directory");
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "..data/x"] {
            assert!(write_files(base.path(), &[file(bad, "")]).is_err(), "{bad:?}");
        }
    }
}
