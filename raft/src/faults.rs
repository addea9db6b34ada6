//! Faults that the fault harness puts into a running member: a slow disk, and known bugs put back
//! to prove that the harness finds them. Production has none: every hook is one look at a `None`.

use std::{
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What can be switched on. The value's meaning is the fault's own; 0 is off.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Milliseconds every sync of the log takes longer.
    SlowSync,
    /// Every n-th message of consensus is sent twice.
    DuplicateFrames,
    /// Record beside each database how much of its write-ahead log is synced.
    RecordSynced,
    /// Bug: writes count as durable before they are synced.
    AnswerBeforeSync,
    /// Bug: a read barrier does not ask the leader.
    StaleReads,
    /// Bug: compaction removes a tombstone but not the version before it.
    LoseDeletes,
    /// Bug: after a restart the clock goes on from the newest record that is left.
    ReuseRevisions,
    /// Bug: a watch that begins before what is in memory goes on with what is in memory.
    WatchGaps,
    /// Bug: a watch that begins before what was compacted is let through.
    ForgetCompaction,
    /// Bug: a forwarded write without an answer is sent again.
    SendTwice,
    /// Bug: a condition on a record's revision only looks whether there is a record.
    LooseCompare,
}

/// How many faults there are.
const FAULTS: usize = Fault::LooseCompare as usize + 1;
/// File beside a database's own that says which log file is synced up to where.
const SYNCED: &str = "synced";

/// The faults of one member; clones share them. [`Faults::default`] has none and can have none.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct Faults {
    active: Option<Arc<Active>>,
}

#[derive(Debug, Default)]
struct Active {
    values: [AtomicU64; FAULTS],
    frames: AtomicU64,
}

impl Faults {
    /// Faults that can be switched on, all off.
    pub fn prepared() -> Self {
        Self { active: Some(Arc::default()) }
    }

    /// Switch a fault on, or off with 0. Does nothing on [`Faults::default`].
    pub fn set(&self, fault: Fault, value: u64) {
        if let Some(active) = &self.active {
            active.values[fault as usize].store(value, Ordering::Relaxed);
        }
    }

    fn value(&self, fault: Fault) -> u64 {
        self.active.as_ref().map_or(0, |a| a.values[fault as usize].load(Ordering::Relaxed))
    }

    /// Whether a fault is on.
    pub(crate) fn on(&self, fault: Fault) -> bool {
        self.value(fault) != 0
    }

    /// Called before the log is synced.
    pub(crate) fn before_sync(&self) {
        let millis = self.value(Fault::SlowSync);
        if millis > 0 {
            std::thread::sleep(Duration::from_millis(millis));
        }
    }

    /// Called after a database in `dir` was synced. What was written meanwhile may be counted as
    /// synced, which a real disk may do too.
    pub(crate) fn synced(&self, dir: &Path) {
        if self.on(Fault::RecordSynced)
            && let Err(error) = record_synced(dir)
        {
            tracing::error!(%error, dir = %dir.display(), "cannot record what is synced");
        }
    }

    /// Whether this message of consensus goes out twice.
    pub(crate) fn duplicates(&self) -> bool {
        let every = self.value(Fault::DuplicateFrames);
        let Some(active) = self.active.as_ref().filter(|_| every > 0) else { return false };
        active.frames.fetch_add(1, Ordering::Relaxed).is_multiple_of(every)
    }
}

fn record_synced(dir: &Path) -> io::Result<()> {
    let mut newest: Option<(PathBuf, u64)> = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_log = path.extension().is_some_and(|e| e == "log");
        if is_log && newest.as_ref().is_none_or(|(known, _)| path > *known) {
            let bytes = std::fs::metadata(&path)?.len();
            newest = Some((path, bytes));
        }
    }
    let Some((path, bytes)) = newest else { return Ok(()) };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let file = std::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.with_extension(SYNCED))?;
    // One write of a fixed size: a killed process leaves the old or the new content.
    file.write_all_at(format!("{name:>16} {bytes:>20}\n").as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_has_no_faults() {
        let none = Faults::default();
        none.set(Fault::AnswerBeforeSync, 1);
        none.set(Fault::DuplicateFrames, 1);
        assert!(!none.on(Fault::AnswerBeforeSync) && !none.duplicates());
        let some = Faults::prepared();
        assert!(!some.on(Fault::StaleReads));
        some.clone().set(Fault::StaleReads, 1);
        assert!(some.on(Fault::StaleReads) && !some.on(Fault::LoseDeletes));
        some.set(Fault::DuplicateFrames, 2);
        assert_eq!([(); 4].map(|()| some.duplicates()), [true, false, true, false]);
    }
}
