//! A member's data directory: locked while open, bound to one member of one cluster.

use std::{
    fs::{self, File},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{MemberId, StoreError, state::write_atomic};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity.json";
/// Version of the directory's layout.
const LAYOUT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    layout: u32,
    cluster_id: String,
    member_id: MemberId,
}

/// Lock the directory and check that it belongs to this member. The lock lasts as long as the
/// returned file.
pub(crate) fn claim(dir: &Path, cluster_id: &str, id: MemberId) -> Result<File, StoreError> {
    let refuse = |text: String| StoreError::Open(format!("{}: {text}", dir.display()));
    let failed = |e: std::io::Error| refuse(e.to_string());
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::create(dir.join(LOCK)).map_err(failed)?;
    if lock.try_lock().is_err() {
        return Err(refuse("it is in use; stop the process that uses it, or drop every store and watch of this one".into()));
    }
    let path = dir.join(IDENTITY);
    let mine = Identity { layout: LAYOUT, cluster_id: cluster_id.to_owned(), member_id: id };
    match fs::read(&path) {
        Ok(text) => {
            let found: Identity = serde_json::from_slice(&text)
                .map_err(|e| refuse(format!("{IDENTITY} is not readable ({e})")))?;
            if found.layout != LAYOUT {
                return Err(refuse(format!(
                    "the layout is version {}, this program knows {LAYOUT}",
                    found.layout
                )));
            }
            if found != mine {
                return Err(refuse(format!(
                    "it belongs to member {} of cluster {}, not to member {id} of {cluster_id}; \
                     give the right directory",
                    found.member_id, found.cluster_id
                )));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if dir.join("log").try_exists().map_err(failed)? {
                return Err(refuse(format!("{IDENTITY} is missing but there is a log")));
            }
            let text = serde_json::to_vec(&mine).map_err(|e| refuse(e.to_string()))?;
            write_atomic(&path, &text).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_and_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let held = claim(dir.path(), "c", 1).unwrap();
        let error = claim(dir.path(), "c", 1).unwrap_err().to_string();
        assert!(error.contains("it is in use"), "{error}");
        drop(held);
        let error = claim(dir.path(), "c", 2).unwrap_err().to_string();
        assert!(error.contains("belongs to member 1"), "{error}");
        assert!(claim(dir.path(), "other", 1).is_err());
        fs::write(dir.path().join(IDENTITY), "{").unwrap();
        assert!(claim(dir.path(), "c", 1).is_err());
    }
}
