//! A member's data directory: locked while open, bound to one member of one cluster.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    MemberId, StoreError,
    state::{dirs, write_atomic},
};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity.json";
/// The file without which a database is none.
const DATABASE: &str = "CURRENT";
/// There when the member was removed from its cluster.
const REMOVED: &str = "REMOVED";
/// How long a directory that is in use is waited for: whoever used it may be about to end, and its
/// databases close a moment later.
const LOCK_WAIT: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(10);
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

/// RocksDB takes a directory without `CURRENT` for a new database, and what lies in it for rubbish.
pub(crate) fn check_database(dir: &Path) -> std::io::Result<()> {
    if !dir.try_exists()? || dir.join(DATABASE).try_exists()? {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sst" || e == "blob" || e == "log") {
            return Err(std::io::Error::other(
                "there is data in it but the file CURRENT is missing",
            ));
        }
    }
    Ok(())
}

/// Note that the member was removed: the directory is not opened again.
pub(crate) fn mark_removed(dir: &Path) -> Result<(), StoreError> {
    let marked = write_atomic(&dir.join(REMOVED), b"removed from the cluster\n");
    marked.map_err(|e| StoreError::Storage(format!("{}: {e}", dir.display())))
}

/// Lock the directory and check that it belongs to this member. The lock lasts as long as the
/// returned file. Blocks.
pub(crate) fn claim(dir: &Path, cluster_id: &str, id: MemberId) -> Result<File, StoreError> {
    let refuse = |text: String| StoreError::Open(format!("{}: {text}", dir.display()));
    let failed = |e: std::io::Error| refuse(e.to_string());
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::create(dir.join(LOCK)).map_err(failed)?;
    if !lock_in_time(&lock) {
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
            let unreadable =
                |e: serde_json::Error| StoreError::Open(unusable(IDENTITY, dir, &e.to_string()));
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
                let why = "it is missing but there is a log";
                return Err(StoreError::Open(unusable(IDENTITY, dir, why)));
            }
            let text = serde_json::to_vec(&mine).map_err(|e| refuse(e.to_string()))?;
            write_atomic(&path, &text).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(lock)
}

fn lock_in_time(lock: &File) -> bool {
    let begin = Instant::now();
    while lock.try_lock().is_err() {
        if begin.elapsed() >= LOCK_WAIT {
            return false;
        }
        std::thread::sleep(LOCK_POLL);
    }
    true
}

/// Refuse a directory of which a database is gone: an empty one in its place would have forgotten
/// what this member promised. A state is created after the log and before the log's first entry.
pub(crate) fn check_log_kept(dir: &Path) -> Result<(), StoreError> {
    let unknown = |e: io::Error| StoreError::Open(format!("{}: {e}", dir.display()));
    let state = dirs::pointed_to(dir).map_err(unknown)?;
    if state.is_some() && !dir.join("log").join(DATABASE).try_exists().map_err(unknown)? {
        let why = "it is missing but there is a state";
        return Err(StoreError::Open(unusable("the raft log", dir, why)));
    }
    Ok(())
}

/// As [`check_log_kept`], the other way round; for a directory whose log is not empty.
pub(crate) fn check_state_kept(dir: &Path) -> Result<(), StoreError> {
    let unknown = |e: io::Error| StoreError::Open(format!("{}: {e}", dir.display()));
    let state = dirs::pointed_to(dir).map_err(unknown)?;
    let there = state.map_or(Ok(false), |state| state.join(DATABASE).try_exists());
    if !there.map_err(unknown)? {
        let why = "it is missing but there is a log";
        return Err(StoreError::Open(unusable("the state", dir, why)));
    }
    Ok(())
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
    fn a_directory_that_is_being_left_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let held = claim(dir.path(), "c", 1).unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        claim(dir.path(), "c", 1).unwrap();
        leaving.join().unwrap();
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
