//! A member's data directory: locked while open, bound to one member of one cluster.

use std::{
    fs::{self, File},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{MemberId, StoreError, state::write_atomic};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity.json";
/// There when the member was removed from its cluster.
const REMOVED: &str = "REMOVED";
/// Version of the directory's layout.
const LAYOUT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    layout: u32,
    cluster_id: String,
    member_id: MemberId,
}

#[derive(Deserialize)]
struct Layout {
    layout: u32,
}

/// What is said of something that a later release wrote.
pub(crate) fn newer(what: &str, found: u64, known: u64) -> String {
    format!(
        "{what} has format {found}, this kabuki knows {known}: it was written by a newer kabuki; \
         upgrade this member"
    )
}

/// What is said of a part of the directory that cannot be used.
pub(crate) fn unusable(what: &str, dir: &Path, why: &str) -> String {
    let dir = dir.display();
    if why.contains("newer kabuki") {
        return format!("{what} in {dir} cannot be used: {why}");
    }
    format!(
        "{what} in {dir} is not usable ({why}); if the rest of the cluster is well, remove this \
         member, empty its data directory and join it again under a new id"
    )
}

/// Note that the member was removed: the directory is not opened again.
pub(crate) fn mark_removed(dir: &Path) -> Result<(), StoreError> {
    let marked = write_atomic(&dir.join(REMOVED), b"removed from the cluster\n");
    marked.map_err(|e| StoreError::Storage(format!("{}: {e}", dir.display())))
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
    if dir.join(REMOVED).try_exists().map_err(failed)? {
        return Err(refuse(format!(
            "member {id} was removed from its cluster and cannot come back under this id; empty \
             the data directory and join again with a new token"
        )));
    }
    let path = dir.join(IDENTITY);
    let mine = Identity { layout: LAYOUT, cluster_id: cluster_id.to_owned(), member_id: id };
    match fs::read(&path) {
        Ok(text) => {
            let unreadable = |e| refuse(format!("{IDENTITY} is not readable ({e})"));
            // The version first: a newer file may hold anything else.
            let Layout { layout } = serde_json::from_slice(&text).map_err(unreadable)?;
            if layout > LAYOUT {
                return Err(refuse(newer("the directory", layout.into(), LAYOUT.into())));
            }
            let found: Identity = serde_json::from_slice(&text).map_err(unreadable)?;
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
        let newer = r#"{"layout":9,"something":"else"}"#;
        fs::write(dir.path().join(IDENTITY), newer).unwrap();
        let error = claim(dir.path(), "c", 1).unwrap_err().to_string();
        assert!(error.contains("written by a newer kabuki; upgrade this member"), "{error}");
        fs::write(dir.path().join(IDENTITY), "{").unwrap();
        assert!(claim(dir.path(), "c", 1).is_err());
    }

    #[test]
    fn a_removed_member_stays_removed() {
        let dir = tempfile::tempdir().unwrap();
        drop(claim(dir.path(), "c", 1).unwrap());
        mark_removed(dir.path()).unwrap();
        let error = claim(dir.path(), "c", 1).unwrap_err().to_string();
        assert!(error.contains("was removed from its cluster"), "{error}");
    }
}
