//! Which directory holds the state: a pointer file that is replaced atomically.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const POINTER: &str = "STATE";
const PREFIX: &str = "state-";

/// Make a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replace a small file so that a crash leaves the old or the new content, whole.
pub(crate) fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// The directory that the pointer file names, if there is a pointer file.
pub(crate) fn pointed_to(data: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read(data.join(POINTER)) {
        Ok(name) => Ok(Some(data.join(String::from_utf8_lossy(&name).trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directory in use; on a fresh data directory the first one, already pointed to.
pub(crate) fn active(data: &Path) -> io::Result<PathBuf> {
    let name = match fs::read_to_string(data.join(POINTER)) {
        Ok(name) => name.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = format!("{PREFIX}000001");
            if data.join(&name).try_exists()? {
                return Err(io::Error::other("the state's pointer file STATE is missing"));
            }
            write_atomic(&data.join(POINTER), name.as_bytes())?;
            fs::create_dir(data.join(&name))?;
            name
        }
        Err(error) => return Err(error),
    };
    if number(&name).is_none() {
        return Err(io::Error::other(format!("the pointer file STATE names {name:?}")));
    }
    Ok(data.join(name))
}

/// A directory name after every one in use.
pub(crate) fn next(data: &Path) -> io::Result<PathBuf> {
    let mut highest = 0;
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        highest = highest.max(name.to_str().and_then(number).unwrap_or(0));
    }
    Ok(data.join(format!("{PREFIX}{:06}", highest + 1)))
}

/// Point to `dir` from now on.
pub(crate) fn switch(data: &Path, dir: &Path) -> io::Result<()> {
    let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    write_atomic(&data.join(POINTER), name.as_bytes())
}

/// Remove state directories that are not in use: leftovers of an interrupted installation.
pub(crate) fn sweep(data: &Path, keep: &Path) -> io::Result<()> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let ours = path.file_name().and_then(|n| n.to_str()).and_then(number).is_some();
        if ours && path != keep {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
