//! The log's RocksDB: layout, opening with checks, reading and writing entries.

use std::{collections::VecDeque, fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode, Options,
    ReadOptions, WriteBatch,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{ending, flusher::Flusher};
use crate::{
    Faults, StoreError, codec,
    home::{self, newer},
    types::{Entry, LogId, Vote},
};

const CF_LOG: &str = "log";
const CF_META: &str = "meta";
const META_VOTE: &str = "vote";
const META_COMMITTED: &str = "committed";
const META_PURGED: &str = "purged";
const META_FORMAT: &str = "format";

/// Version of this database's layout; entries carry a version of their own.
const FORMAT: u64 = 1;

/// Memtable of the log; most entries are purged before they ever reach a file.
const WRITE_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// The write-ahead log's bound; keeps the rarely written `meta` from holding old files.
const MAX_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Entries kept in memory for replication and apply.
const CACHE_ENTRIES: usize = 1024;
/// Bytes of entries kept in memory.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of entries one read for replication returns at most (at least one entry).
pub(super) const READ_BYTES: usize = 4 * 1024 * 1024;

/// The log of one member. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    // Declared first so that the thread ends before the database closes.
    pub(super) flusher: Flusher,
    pub(super) db: Arc<DB>,
    pub(super) tail: Mutex<Tail>,
    // Declared last so that the directory is free only when the database is closed.
    _lock: Option<Arc<File>>,
}

/// What is known without reading the disk.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    /// Bytes of all entries that ever came in here, since the start.
    written: u64,
}

impl Tail {
    fn push(&mut self, entry: Entry) {
        if self.cache.back().is_some_and(|b| b.log_id.index + 1 != entry.log_id.index) {
            self.clear();
        }
        self.cache_bytes += entry_bytes(&entry);
        self.written += entry_bytes(&entry) as u64;
        self.last = Some(entry.log_id);
        self.cache.push_back(entry);
        while self.cache.len() > CACHE_ENTRIES
            || (self.cache_bytes > CACHE_BYTES && self.cache.len() > 1)
        {
            if let Some(old) = self.cache.pop_front() {
                self.cache_bytes -= entry_bytes(&old);
            }
        }
    }

    fn clear(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }

    /// The cached entries of `[start, end)`, if the cache holds every entry the log has of it.
    fn cached(&self, start: u64, end: u64) -> Option<Vec<Entry>> {
        let first = self.cache.front()?.log_id.index;
        if start < first {
            return None;
        }
        let skip = (start - first) as usize;
        Some(
            self.cache
                .iter()
                .skip(skip)
                .take_while(|entry| entry.log_id.index < end)
                .cloned()
                .collect(),
        )
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    const FIXED: usize = 64;
    match &entry.payload {
        openraft::EntryPayload::Normal(proposal) => FIXED + proposal.0.len(),
        _ => FIXED,
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_manual_wal_flush(true);
    // Only an incomplete last record may be dropped. Anything else that does not add up means
    // acknowledged entries may be gone, and then the member must not start by itself.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_total_wal_size(MAX_WAL_BYTES);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_log_level(rocksdb::LogLevel::Warn);
    options
}

impl LogStore {
    /// Open or create the log and check every entry in it.
    pub(crate) fn open(
        dir: &Path,
        lock: Option<Arc<File>>,
        faults: Faults,
    ) -> Result<Self, StoreError> {
        let refuse = |text: String| StoreError::Open(home::unusable("the raft log", dir, &text));
        home::check_database(dir).map_err(|e| refuse(e.to_string()))?;
        let ended = ending::check(dir).and_then(|()| ending::trim(dir, true));
        ended.map_err(|e| refuse(e.to_string()))?;
        let families = [CF_LOG, CF_META].map(|n| ColumnFamilyDescriptor::new(n, options()));
        let db = DB::open_cf_descriptors(&options(), dir, families)
            .map_err(|e| refuse(e.to_string()))?;
        let db = Arc::new(db);
        let flusher = Flusher::start(db.clone(), faults).map_err(|e| refuse(e.to_string()))?;
        let store =
            Self { inner: Arc::new(Inner { flusher, db, tail: Mutex::default(), _lock: lock }) };
        store.check_format().and_then(|()| store.check()).map_err(|e| refuse(e.to_string()))?;
        Ok(store)
    }

    /// Refuse what a later release wrote; its first release wrote no mark.
    fn check_format(&self) -> io::Result<()> {
        match self.inner.read_meta::<u64>(META_FORMAT)? {
            Some(found) if found > FORMAT => Err(io::Error::other(newer("it", found, FORMAT))),
            Some(_) => Ok(()),
            None => self.inner.write_meta(META_FORMAT, &FORMAT),
        }
    }

    /// Read the whole log once: every checksum must hold and no index may be missing.
    fn check(&self) -> io::Result<()> {
        let inner = &self.inner;
        for name in [CF_LOG, CF_META] {
            inner.read_all(name)?;
        }
        let mut tail = inner.tail.lock();
        tail.vote = inner.read_meta(META_VOTE)?;
        tail.purged = inner.read_meta(META_PURGED)?;
        tail.last = tail.purged;
        let mut expected = tail.purged.map(|id| id.index + 1);
        let from = expected.unwrap_or(0).to_be_bytes();
        let mode = IteratorMode::From(&from, Direction::Forward);
        for item in inner.db.iterator_cf(inner.family(CF_LOG)?, mode) {
            let (key, value) = item.map_err(io::Error::other)?;
            let entry = codec::decode_entry(&Bytes::from(value)).map_err(io::Error::other)?;
            let index = entry.log_id.index;
            if key.as_ref() != index.to_be_bytes() || expected.is_some_and(|e| e != index) {
                return Err(io::Error::other(format!("entry {index} is out of place")));
            }
            expected = Some(index + 1);
            tail.push(entry);
        }
        Ok(())
    }

    /// The failure that stopped the disk, if one did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.inner.flusher.failure()
    }

    /// Bytes of entries that were found or written since the start; only grows.
    pub(crate) fn written(&self) -> u64 {
        self.inner.tail.lock().written
    }

    /// How many handles there are.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }

    /// Whether nothing was ever written here.
    pub(crate) fn is_empty(&self) -> bool {
        let tail = self.inner.tail.lock();
        tail.last.is_none() && tail.vote.is_none()
    }
}

impl Inner {
    fn family(&self, name: &'static str) -> io::Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| io::Error::other(format!("no family {name}")))
    }

    /// Read also what was purged: its damage must show now, and not when RocksDB rewrites a file.
    #[allow(deprecated, reason = "it is slower, which does not matter once")]
    fn read_all(&self, name: &'static str) -> io::Result<()> {
        let mut options = ReadOptions::default();
        options.set_ignore_range_deletions(true);
        options.fill_cache(false);
        let mut rows = self.db.iterator_cf_opt(self.family(name)?, options, IteratorMode::Start);
        rows.try_for_each(|row| row.map(drop)).map_err(io::Error::other)
    }

    fn read_meta<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let family = self.family(CF_META)?;
        let Some(raw) = self.db.get_cf(family, name).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let Some((sum, text)) = raw.split_first_chunk::<4>() else {
            return Err(io::Error::other(format!("{name} is cut off")));
        };
        if crc32c::crc32c(text) != u32::from_be_bytes(*sum) {
            return Err(io::Error::other(format!("the checksum of {name} does not hold")));
        }
        Ok(Some(serde_json::from_slice(text)?))
    }

    fn write_meta<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let text = serde_json::to_vec(value)?;
        let mut raw = crc32c::crc32c(&text).to_be_bytes().to_vec();
        raw.extend(text);
        self.db.put_cf(self.family(CF_META)?, name, raw).map_err(io::Error::other)
    }

    pub(super) fn write_vote(&self, vote: &Vote) -> io::Result<()> {
        self.write_meta(META_VOTE, vote)?;
        self.tail.lock().vote = Some(*vote);
        Ok(())
    }

    pub(super) fn write_committed(&self, committed: Option<LogId>) -> io::Result<()> {
        self.write_meta(META_COMMITTED, &committed)
    }

    pub(super) fn read_committed(&self) -> io::Result<Option<LogId>> {
        Ok(self.read_meta::<Option<LogId>>(META_COMMITTED)?.flatten())
    }

    /// Make entries readable; they are durable once the flusher has run.
    pub(super) fn append(&self, entries: Vec<Entry>) -> io::Result<()> {
        let family = self.family(CF_LOG)?;
        let mut batch = WriteBatch::default();
        for entry in &entries {
            let bytes = codec::encode_entry(entry)?;
            batch.put_cf(family, entry.log_id.index.to_be_bytes(), bytes);
        }
        let mut tail = self.tail.lock();
        self.db.write(batch).map_err(io::Error::other)?;
        for entry in entries {
            tail.push(entry);
        }
        Ok(())
    }

    /// Entries of `[start, end)`, at most `max_bytes` of them but at least one if there is one.
    pub(super) fn read(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        if let Some(mut cached) = self.tail.lock().cached(start, end) {
            let mut bytes = 0;
            let fit = cached.iter().take_while(|entry| {
                let fits = bytes == 0 || bytes + entry_bytes(entry) <= max_bytes;
                bytes += entry_bytes(entry);
                fits
            });
            let count = fit.count();
            cached.truncate(count);
            return Ok(cached);
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let from = start.to_be_bytes();
        let mode = IteratorMode::From(&from, Direction::Forward);
        for item in self.db.iterator_cf(self.family(CF_LOG)?, mode) {
            let (_, value) = item.map_err(io::Error::other)?;
            let entry = codec::decode_entry(&Bytes::from(value)).map_err(io::Error::other)?;
            let index = entry.log_id.index;
            if index >= end {
                break;
            }
            if let Some(before) = entries.last()
                && before.log_id.index + 1 != index
            {
                return Err(io::Error::other(format!("the log has a hole before {index}")));
            }
            bytes += entry_bytes(&entry);
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    pub(super) fn truncate_after(&self, keep: Option<LogId>) -> io::Result<()> {
        let family = self.family(CF_LOG)?;
        let from = keep.map_or(0, |id| id.index + 1).to_be_bytes();
        let mut tail = self.tail.lock();
        if keep.is_some_and(|keep| tail.last.is_none_or(|last| last.index <= keep.index)) {
            return Ok(());
        }
        self.delete_range(family, &from, &u64::MAX.to_be_bytes())?;
        tail.clear();
        tail.last = keep.or(tail.purged);
        Ok(())
    }

    pub(super) fn purge(&self, upto: LogId) -> io::Result<()> {
        let family = self.family(CF_LOG)?;
        let mut tail = self.tail.lock();
        // First the marker: a crash in between leaves entries below it, which are ignored.
        self.write_meta(META_PURGED, &upto)?;
        self.delete_range(family, &0u64.to_be_bytes(), &(upto.index + 1).to_be_bytes())?;
        tail.purged = Some(upto);
        if tail.last.is_none_or(|last| last.index <= upto.index) {
            tail.last = Some(upto);
            tail.clear();
        }
        while tail.cache.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            if let Some(old) = tail.cache.pop_front() {
                tail.cache_bytes -= entry_bytes(&old);
            }
        }
        Ok(())
    }

    fn delete_range(&self, family: &ColumnFamily, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.db.delete_range_cf(family, from, to).map_err(io::Error::other)
    }
}
