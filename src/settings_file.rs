//! Files in Kubernetes' own configuration formats that an administrator names by a flag: read with a
//! limit, and refused with their name.

use std::{fs, io, path::Path};

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read the {what} {path}: {source}")]
    Read {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It says something else than it should, or asks for what is not there.
    #[error("{what} {path}: {detail}")]
    Content {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong, and where.
        detail: String,
    },
}

/// Reads a file of at most 1 MiB and makes of its text what `parse` does.
///
/// # Errors
/// When it cannot be read, is too large, or `parse` refuses it.
pub fn load<T>(
    what: &'static str,
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, SettingsError> {
    let shown = || path.display().to_string();
    let read = |source| SettingsError::Read { what, path: shown(), source };
    let content = |detail| SettingsError::Content { what, path: shown(), detail };
    if fs::metadata(path).map_err(read)?.len() > BYTES_MAX {
        return Err(content("it is larger than 1 MiB".to_owned()));
    }
    parse(&fs::read_to_string(path).map_err(read)?).map_err(content)
}

/// Refuses a text of another version or kind.
///
/// # Errors
/// Says what it must begin with.
pub fn check_type(wanted: (&str, &str), found: (&str, &str)) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!(
        "it must begin with apiVersion: {} and kind: {}, not {:?} and {:?}",
        wanted.0, wanted.1, found.0, found.1
    ))
}
