//! Small helpers for files: atomic writing, bounded reading, removal that forgives absence.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Largest JSON file of ours that is read back.
const JSON_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Whether a rename must survive a power cut. Files under the run directory need not: after a reboot
/// they are worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Readers see old or new content; nothing is flushed.
    Process,
    /// Flushed to disk, file and directory.
    Disk,
}

/// Replaces a file in one step.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = Path::new(&tmp);
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(tmp)?;
        file.write_all(bytes)?;
        if durability == Durability::Disk {
            file.sync_all()?;
        }
        fs::rename(tmp, path)?;
        if durability == Durability::Disk
            && let Some(parent) = path.parent()
        {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(Error::file("cannot write", path))
}

/// [`write_atomic`] with a value as JSON.
pub(crate) fn write_json(
    path: &Path,
    value: &impl Serialize,
    durability: Durability,
) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|e| Error::file("cannot encode", path)(io::Error::other(e)))?;
    write_atomic(path, &bytes, durability)
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(Error::file("cannot read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::file("cannot read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::file("cannot read", path)(io::Error::other(format!(
            "larger than {limit} bytes"
        ))));
    }
    Ok(bytes)
}

/// Reads a JSON file of ours.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_limited(path, JSON_LIMIT_BYTES)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Error::file("cannot understand", path)(io::Error::other(e)))
}

/// Makes a directory and its parents, accessible to this user alone.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::file("cannot make directory", path))
}

/// Makes a directory and its parents with the usual permissions.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("cannot make directory", path))
}

/// Removes a directory tree; absence is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("cannot remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a file; absence is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("cannot remove", path)(e)),
        _ => Ok(()),
    }
}
