//! Files that must be whole or absent: written to a temporary name, synced, then renamed.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::PkiError;

/// Reads a text file; a missing file is `None`.
pub fn read_file(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(PkiError::Garbled { path: path.to_path_buf() })
        }
        Err(reason) => Err(PkiError::File { path: path.to_path_buf(), reason }),
    }
}

/// Writes a file only its owner may read (mode 0600).
pub fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    write_mode(path, text, 0o600)
}

/// Writes a file everybody may read (mode 0644).
pub fn write_public(path: &Path, text: &str) -> Result<(), PkiError> {
    write_mode(path, text, 0o644)
}

fn write_mode(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let failed = |reason| PkiError::File { path: path.to_path_buf(), reason };
    let parent = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    fs::create_dir_all(&parent).map_err(failed)?;
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    fs::File::open(&parent).and_then(|dir| dir.sync_all()).map_err(failed)
}
