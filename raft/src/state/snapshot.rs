//! Snapshots: checkpoints of the state's RocksDB (hard links), found, built and installed.
//!
//! `snap/<index>-<term>/manifest.json` and the files under `snap/<index>-<term>/db/`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rocksdb::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{State, db::StateDb, dirs};
use crate::{Faults, home::newer, types::SnapshotMeta};

const SNAPSHOTS: &str = "snap";
const MANIFEST: &str = "manifest.json";
const FILES: &str = "db";
/// Version of the manifest and of what it describes.
const VERSION: u32 = 1;
/// Most files a snapshot may have.
const MAX_FILES: usize = 100_000;
/// Most bytes a snapshot may have (64 GiB).
const MAX_BYTES: u64 = 64 << 30;

/// What a snapshot holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) meta: SnapshotMeta,
    pub(crate) files: Vec<FileEntry>,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// A snapshot on disk; its directory goes with the last handle once it is obsolete.
#[derive(Debug)]
pub(crate) struct SnapshotDir {
    path: PathBuf,
    manifest: Manifest,
    /// Came from a peer: its files may be moved instead of copied.
    received: bool,
    obsolete: AtomicBool,
}

impl SnapshotDir {
    /// A snapshot that a peer sent into `path`. Removed when not installed.
    pub(crate) fn received(path: PathBuf, manifest: Manifest) -> Self {
        Self { path, manifest, received: true, obsolete: AtomicBool::new(true) }
    }

    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.manifest.meta
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where a file of the manifest lies.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(FILES).join(name)
    }
}

impl Drop for SnapshotDir {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, dir = %self.path.display(), "cannot remove an old snapshot");
        }
    }
}

/// Check what a peer announces before a byte of it is written.
pub(crate) fn check_manifest(manifest: &Manifest) -> io::Result<()> {
    let bad = |text: String| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    if manifest.version != VERSION {
        return bad(newer("the snapshot", manifest.version.into(), VERSION.into()));
    }
    if manifest.files.len() > MAX_FILES {
        return bad(format!("a snapshot has at most {MAX_FILES} files"));
    }
    let mut total = 0u64;
    for file in &manifest.files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = &file.name;
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            return bad(format!("a snapshot cannot have a file named {name:?}"));
        }
        total = total.saturating_add(file.size);
    }
    if total > MAX_BYTES {
        return bad(format!("a snapshot has at most {MAX_BYTES} bytes, this one {total}"));
    }
    Ok(())
}

/// The newest whole snapshot; everything else in its place is removed.
pub(super) fn find(data: &Path) -> io::Result<Option<SnapshotDir>> {
    let home = data.join(SNAPSHOTS);
    fs::create_dir_all(&home)?;
    let mut best: Option<SnapshotDir> = None;
    for entry in fs::read_dir(&home)? {
        let path = entry?.path();
        let Some(found) = read(&path) else {
            fs::remove_dir_all(&path)?;
            continue;
        };
        let newer = best.as_ref().is_none_or(|b| found.meta().last_log_id > b.meta().last_log_id);
        let loser = if newer { best.replace(found) } else { Some(found) };
        if let Some(loser) = loser {
            loser.obsolete.store(true, Ordering::Release);
        }
    }
    Ok(best)
}

fn read(path: &Path) -> Option<SnapshotDir> {
    if path.extension().is_some() {
        return None;
    }
    let manifest: Manifest = serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
    check_manifest(&manifest).ok()?;
    let whole = manifest.files.iter().all(|file| {
        fs::metadata(path.join(FILES).join(&file.name)).is_ok_and(|m| m.len() == file.size)
    });
    whole.then(|| SnapshotDir {
        path: path.to_owned(),
        manifest,
        received: false,
        obsolete: AtomicBool::new(false),
    })
}

/// Take a snapshot of the state as it is now. Blocks; runs beside apply but for a moment.
pub(super) fn build(state: &State) -> io::Result<Arc<SnapshotDir>> {
    let db = state.db();
    // Flushed before the gate closes, so that the checkpoint has little left to copy.
    db.sync()?;
    let home = state.data().join(SNAPSHOTS);
    fs::create_dir_all(&home)?;
    let temporary = home.join("building.tmp");
    remove_if_there(&temporary)?;
    fs::create_dir(&temporary)?;
    let meta = {
        let _gate = state.gate.blocking_lock();
        let meta = SnapshotMeta { last_log_id: db.applied()?, last_membership: db.membership()? };
        if let Some(existing) = state.snapshot.lock().clone()
            && existing.meta().last_log_id == meta.last_log_id
        {
            fs::remove_dir_all(&temporary)?;
            return Ok(existing);
        }
        checkpoint(&db, &temporary.join(FILES))?;
        meta
    };
    // The log may be purged up to here from now on: the checkpoint made the state itself durable.
    publish(state, &home, &temporary, meta)
}

fn checkpoint(db: &StateDb, target: &Path) -> io::Result<()> {
    db.sync()?;
    Checkpoint::new(&db.db)
        .and_then(|checkpoint| checkpoint.create_checkpoint_with_log_size(target, u64::MAX))
        .map_err(io::Error::other)
}

fn publish(
    state: &State,
    home: &Path,
    temporary: &Path,
    meta: SnapshotMeta,
) -> io::Result<Arc<SnapshotDir>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(temporary.join(FILES))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(FileEntry { name, size: entry.metadata()?.len() });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest { version: VERSION, meta, files };
    dirs::write_atomic(&temporary.join(MANIFEST), &serde_json::to_vec(&manifest)?)?;
    let name = match manifest.meta.last_log_id {
        Some(id) => format!("{}-{}", id.index, id.leader_id.term),
        None => "empty".to_owned(),
    };
    let path = home.join(name);
    let mut slot = state.snapshot.lock();
    if let Some(old) = slot.as_ref()
        && old.path == path
    {
        fs::remove_dir_all(temporary)?;
        return Ok(old.clone());
    }
    remove_if_there(&path)?;
    fs::rename(temporary, &path)?;
    dirs::sync_dir(home)?;
    let fresh =
        Arc::new(SnapshotDir { path, manifest, received: false, obsolete: AtomicBool::new(false) });
    if let Some(old) = slot.replace(fresh.clone()) {
        old.obsolete.store(true, Ordering::Release);
    }
    Ok(fresh)
}

/// Read a received snapshot once, all of it: a damaged one must not take this member down.
pub(crate) fn check_content(snapshot: &SnapshotDir) -> io::Result<()> {
    let db = StateDb::open(&snapshot.path.join(FILES), Faults::default(), None)?;
    db.load()?;
    db.verify()?;
    if db.applied()? != snapshot.meta().last_log_id {
        return Err(io::Error::other("the snapshot's content is not what its manifest says"));
    }
    Ok(())
}

/// Replace the state by a snapshot. Until the pointer file is switched the old state is in force.
pub(super) fn install(
    state: &State,
    meta: &SnapshotMeta,
    snapshot: &SnapshotDir,
) -> io::Result<()> {
    let _gate = state.gate.blocking_lock();
    let target = dirs::next(state.data())?;
    let source = snapshot.path.join(FILES);
    if snapshot.received {
        fs::rename(&source, &target)?;
    } else {
        fs::create_dir(&target)?;
        for file in &snapshot.manifest.files {
            fs::copy(source.join(&file.name), target.join(&file.name))?;
        }
    }
    dirs::sync_dir(state.data())?;
    let db = StateDb::open(&target, state.faults.clone(), state.db().cipher.clone())?;
    if db.applied()? != meta.last_log_id {
        db.retire();
        return Err(io::Error::other("the snapshot's content is not what its manifest says"));
    }
    db.sync()?;
    let home = state.data().join(SNAPSHOTS);
    let temporary = home.join("installing.tmp");
    remove_if_there(&temporary)?;
    fs::create_dir_all(&temporary)?;
    checkpoint(&db, &temporary.join(FILES))?;
    dirs::switch(state.data(), db.dir())?;
    state.replace(db, meta)?;
    publish(state, &home, &temporary, meta.clone())?;
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
