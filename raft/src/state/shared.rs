//! The state as every part of this member shares it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::{
    SnapshotDir, apply::Pass, current::Current, db::StateDb, dirs, rings::Rings, snapshot,
};
use crate::{
    Fault, Faults, Limits, ListPage, Record, Revision, StoreError,
    cipher::SharedCipher,
    home,
    types::{LogId, SnapshotMeta, StoredMembership},
};

/// How far the log was applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AppliedAt {
    /// The term of the last applied entry.
    pub(crate) term: u64,
    /// How many entries were applied: the last one's index plus one.
    pub(crate) count: u64,
}

impl From<Option<LogId>> for AppliedAt {
    fn from(applied: Option<LogId>) -> Self {
        applied
            .map_or_else(Self::default, |id| Self { term: id.leader_id.term, count: id.index + 1 })
    }
}

/// The replicated state of one member.
#[derive(Debug)]
pub(crate) struct State {
    data: PathBuf,
    pub(super) current: RwLock<Current>,
    pub(super) db: RwLock<Arc<StateDb>>,
    /// Held while the state moves on, so that a snapshot shows one point of the log.
    pub(super) gate: tokio::sync::Mutex<()>,
    pub(super) rings: Rings,
    pub(super) membership: Mutex<StoredMembership>,
    pub(super) snapshot: Mutex<Option<Arc<SnapshotDir>>>,
    /// Everything at or before this revision is in the rings and on disk.
    published: AtomicU64,
    compacted: AtomicU64,
    applied: watch::Sender<AppliedAt>,
    closed: AtomicBool,
    pub(super) scrub: Notify,
    failure: OnceLock<String>,
    failed: Notify,
    pub(crate) faults: Faults,
    // Declared last so that the directory is free only when the database is closed.
    _lock: Option<Arc<File>>,
}

impl State {
    /// Open or create the state under a data directory.
    pub(crate) fn open(
        data: &Path,
        limits: &Limits,
        lock: Option<Arc<File>>,
        faults: Faults,
        cipher: SharedCipher,
    ) -> io::Result<Arc<Self>> {
        let dir = dirs::active(data)?;
        let db = StateDb::open(&dir, faults.clone(), cipher)?;
        let mut current = Current { map: db.load()?, revision: db.revision()? };
        if faults.on(Fault::ReuseRevisions) {
            current.revision = current.newest();
        }
        let (revision, compacted) = (current.revision, db.compacted()?);
        let applied = db.applied()?;
        let membership = db.membership()?;
        db.verify()?;
        // Only now: a directory that is not in use may be the right one of a damaged pointer.
        dirs::sweep(data, &dir)?;
        let snapshot = snapshot::find(data)?;
        Ok(Arc::new(Self {
            data: data.to_owned(),
            current: RwLock::new(current),
            db: RwLock::new(db),
            gate: tokio::sync::Mutex::new(()),
            rings: Rings::new(revision, limits.ring_events, limits.ring_bytes),
            membership: Mutex::new(membership),
            snapshot: Mutex::new(snapshot.map(Arc::new)),
            published: AtomicU64::new(revision),
            compacted: AtomicU64::new(compacted),
            applied: watch::Sender::new(applied.into()),
            closed: AtomicBool::new(false),
            scrub: Notify::new(),
            failure: OnceLock::new(),
            failed: Notify::new(),
            faults,
            _lock: lock,
        }))
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn db(&self) -> Arc<StateDb> {
        self.db.read().clone()
    }

    pub(crate) fn rings(&self) -> &Rings {
        &self.rings
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.current.read().map.get(key).cloned()
    }

    pub(crate) fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> ListPage {
        self.current.read().list(prefix, start_after, limit)
    }

    /// The current page, if nothing under `prefix` changed since `revision`; else `None`.
    pub(crate) fn list_unchanged(
        &self,
        prefix: &str,
        revision: Revision,
        start_after: Option<&str>,
        limit: usize,
    ) -> Option<ListPage> {
        let topic = self.rings.topic(prefix);
        let current = self.current.read();
        // The map moves on before the rings do, so the rings speak for the map only when no apply
        // is between the two.
        if current.revision != self.published() || topic.last() > revision {
            return None;
        }
        let mut page = current.list(prefix, start_after, limit);
        page.revision = revision;
        Some(page)
    }

    pub(crate) fn revision(&self) -> Revision {
        self.current.read().revision
    }

    pub(crate) fn keys(&self) -> u64 {
        self.current.read().map.len() as u64
    }

    pub(crate) fn published(&self) -> Revision {
        self.published.load(Ordering::Acquire)
    }

    pub(crate) fn compacted(&self) -> Revision {
        self.compacted.load(Ordering::Acquire)
    }

    /// Fail unless everything after `revision` can still be read.
    pub(crate) fn check_history(&self, revision: Revision) -> Result<(), StoreError> {
        let compacted = self.compacted();
        if revision < compacted && !self.faults.on(Fault::ForgetCompaction) {
            return Err(StoreError::Compacted { requested: revision, compacted });
        }
        Ok(())
    }

    /// The membership as applied here: it is committed and stays.
    pub(crate) fn applied_membership(&self) -> StoredMembership {
        self.membership.lock().clone()
    }

    pub(crate) fn applied(&self) -> AppliedAt {
        *self.applied.borrow()
    }

    pub(crate) fn watch_applied(&self) -> watch::Receiver<AppliedAt> {
        self.applied.subscribe()
    }

    /// Wait until the entry at `index` is applied here; false when `timeout` passed first.
    pub(crate) async fn wait_applied(&self, index: u64, timeout: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|at| at.count > index);
        matches!(tokio::time::timeout(timeout, reached).await, Ok(Ok(_)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The disk did not give back what was written: this member must stop. The caller learns why.
    pub(crate) fn fail(&self, error: &io::Error) -> StoreError {
        let text = home::unusable("the state", &self.data, &error.to_string());
        if self.failure.set(text.clone()).is_ok() {
            tracing::error!("this member stops: {text}");
            self.failed.notify_one();
        }
        StoreError::Storage(text)
    }

    /// Why this member must stop, if it must.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Returns when this member must stop. For one task.
    pub(crate) async fn until_failed(&self) {
        self.failed.notified().await;
    }

    /// End every watch.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.rings.wake_all();
    }

    /// Make a finished pass visible: disk, then map, then rings, then the published revision.
    /// A watcher thus never sees what a list from the same member does not show yet.
    pub(super) fn publish(&self, pass: Pass) -> io::Result<()> {
        let compacted_before = self.compacted();
        let done = pass.finish()?;
        {
            let mut current = self.current.write();
            for (key, record) in done.changed {
                match record {
                    Some(record) => current.map.insert(key, record),
                    None => current.map.remove(&key),
                };
            }
            current.revision = done.revision;
        }
        let topics = self.rings.push(&done.events);
        self.published.store(done.revision, Ordering::Release);
        self.compacted.store(done.compacted, Ordering::Release);
        if let Some(membership) = done.membership {
            *self.membership.lock() = membership;
        }
        if let Some(applied) = done.applied {
            self.applied.send_replace(Some(applied).into());
        }
        Rings::wake(&topics);
        if done.compacted > compacted_before {
            self.scrub.notify_one();
        }
        Ok(())
    }

    /// Replace everything by an installed database.
    pub(super) fn replace(&self, db: Arc<StateDb>, meta: &SnapshotMeta) -> io::Result<()> {
        let fresh = Current { map: db.load()?, revision: db.revision()? };
        let (revision, compacted) = (fresh.revision, db.compacted()?);
        let old = std::mem::replace(&mut *self.db.write(), db);
        old.retire();
        *self.current.write() = fresh;
        *self.membership.lock() = meta.last_membership.clone();
        self.compacted.store(compacted, Ordering::Release);
        self.rings.reset(revision);
        self.published.store(revision, Ordering::Release);
        self.applied.send_replace(meta.last_log_id.into());
        self.rings.wake_all();
        self.scrub.notify_one();
        Ok(())
    }

    /// Remove compacted history from the disk, step by step, until the state is closed.
    pub(crate) async fn scrub_forever(self: Arc<Self>) {
        loop {
            let (db, compacted) = (self.db(), self.compacted());
            let step = tokio::task::spawn_blocking(move || db.scrub(compacted)).await;
            match step {
                Ok(Ok(true)) => tokio::task::yield_now().await,
                Ok(Ok(false)) => self.scrub.notified().await,
                Ok(Err(error)) => {
                    self.fail(&error);
                    return;
                }
                Err(_) => return,
            }
            if self.is_closed() {
                return;
            }
        }
    }
}
