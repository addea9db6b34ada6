//! The state's RocksDB: families, encodings and single reads.
//!
//! `kv`: `key NUL revision` to a version (put or tombstone). `rev`: revision to the key it
//! changed and the version before. `meta`: what was applied, membership, clock, compaction.
//!
//! There is no write-ahead log here: the raft log is one already. What was not flushed when the
//! process ended is applied again from there, and the families are flushed together, so that what
//! `meta` calls applied is exactly what the others hold.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{BufMut, Bytes};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode,
    FlushOptions, IteratorMode, Options, WriteBatch, WriteOptions,
};

use super::FIRST_REVISION;
use crate::{
    Faults, Record, Revision,
    cipher::SharedCipher,
    codec::Reader,
    home::{check_database, newer},
    log::ending,
    types::{LogId, StoredMembership, log_id},
};

const CF_KV: &str = "kv";
const CF_REV: &str = "rev";
const CF_META: &str = "meta";
const META_FORMAT: &str = "format";
const META_APPLIED: &str = "applied";
const META_MEMBERSHIP: &str = "membership";
const META_REVISION: &str = "revision";
const META_COMPACTED: &str = "compacted";
const META_SCRUBBED: &str = "scrubbed";

/// Version of everything in this database.
const FORMAT: u64 = 1;
/// Memtable of each family.
const WRITE_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Cache of file blocks; history is read rarely.
const BLOCK_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Values from this size on lie in files of their own, which compaction of keys does not rewrite.
const BLOB_BYTES: u64 = 256;
/// Share of such files that is looked through for what history's compaction has freed, and the
/// share of freed bytes that makes it urgent.
const BLOB_GC: (f64, f64) = (0.2, 0.5);

const KIND_PUT: u8 = 1;
const KIND_TOMBSTONE: u8 = 2;

/// One state database. Its directory goes with the last handle once it is obsolete.
#[derive(Debug)]
pub(crate) struct StateDb {
    pub(super) db: DB,
    dir: PathBuf,
    obsolete: AtomicBool,
    pub(super) faults: Faults,
    pub(super) cipher: SharedCipher,
}

/// A version of a key as stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Version<'a> {
    Put { create: Revision, value: &'a [u8] },
    Tombstone,
}

/// A row of `rev`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub(crate) delete: bool,
    pub(crate) previous: Revision,
    pub(crate) key: &'a str,
}

fn options(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    // For what a version of this program that still wrote this log may have left.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_log_level(rocksdb::LogLevel::Warn);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    options.set_block_based_table_factory(&blocks);
    options
}

/// The options of a family.
fn family_options(name: &str, cache: &Cache) -> Options {
    let mut options = options(cache);
    if name == CF_KV {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_BYTES);
        options.set_blob_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(BLOB_GC.0);
        options.set_blob_gc_force_threshold(BLOB_GC.1);
    }
    options
}

impl StateDb {
    pub(crate) fn open(dir: &Path, faults: Faults, cipher: SharedCipher) -> io::Result<Arc<Self>> {
        check_database(dir)?;
        // What is torn here is applied again from the log.
        ending::trim(dir, false)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = [CF_KV, CF_REV, CF_META]
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)));
        let db =
            DB::open_cf_descriptors(&options(&cache), dir, families).map_err(io::Error::other)?;
        let obsolete = AtomicBool::new(false);
        let this = Self { db, dir: dir.to_owned(), obsolete, faults, cipher };
        match this.number(META_FORMAT)? {
            None => this.format()?,
            Some(FORMAT) => {}
            Some(other) => {
                return Err(io::Error::other(newer("it", other, FORMAT)));
            }
        }
        Ok(Arc::new(this))
    }

    fn format(&self) -> io::Result<()> {
        if self.db.iterator_cf(self.kv(), IteratorMode::Start).next().is_some() {
            return Err(io::Error::other("the state has data but no format mark"));
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.meta(), META_FORMAT, FORMAT.to_be_bytes());
        batch.put_cf(self.meta(), META_REVISION, FIRST_REVISION.to_be_bytes());
        self.write(batch)
    }

    fn family(&self, name: &'static str) -> &ColumnFamily {
        // All three are named when the database is opened; their absence cannot be met.
        match self.db.cf_handle(name) {
            Some(family) => family,
            None => unreachable!("family {name} was opened"),
        }
    }

    pub(super) fn kv(&self) -> &ColumnFamily {
        self.family(CF_KV)
    }

    pub(super) fn rev(&self) -> &ColumnFamily {
        self.family(CF_REV)
    }

    fn meta(&self) -> &ColumnFamily {
        self.family(CF_META)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Remove the directory once nobody reads from it any more.
    pub(crate) fn retire(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    pub(crate) fn write(&self, batch: WriteBatch) -> io::Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(io::Error::other)
    }

    /// Put everything written so far on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let families = [self.kv(), self.rev(), self.meta()];
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(io::Error::other)?;
        self.faults.synced(&self.dir);
        Ok(())
    }

    fn number(&self, name: &str) -> io::Result<Option<u64>> {
        let Some(raw) = self.db.get_cf(self.meta(), name).map_err(io::Error::other)? else {
            return Ok(None);
        };
        Ok(Some(Reader::new(&raw).u64("number").map_err(io::Error::other)?))
    }

    pub(crate) fn revision(&self) -> io::Result<Revision> {
        self.number(META_REVISION)?.ok_or_else(|| io::Error::other("the state has no clock"))
    }

    pub(crate) fn compacted(&self) -> io::Result<Revision> {
        Ok(self.number(META_COMPACTED)?.unwrap_or(0))
    }

    /// Up to where compacted versions were removed from the disk.
    pub(crate) fn scrubbed(&self) -> io::Result<Revision> {
        Ok(self.number(META_SCRUBBED)?.unwrap_or(0))
    }

    pub(crate) fn applied(&self) -> io::Result<Option<LogId>> {
        let Some(raw) = self.db.get_cf(self.meta(), META_APPLIED).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let mut reader = Reader::new(&raw);
        let term = reader.u64("applied term").map_err(io::Error::other)?;
        let index = reader.u64("applied index").map_err(io::Error::other)?;
        Ok(Some(log_id(term, index)))
    }

    pub(crate) fn membership(&self) -> io::Result<StoredMembership> {
        match self.db.get_cf(self.meta(), META_MEMBERSHIP).map_err(io::Error::other)? {
            Some(raw) => Ok(serde_json::from_slice(&raw)?),
            None => Ok(StoredMembership::default()),
        }
    }

    pub(crate) fn put_applied(&self, batch: &mut WriteBatch, applied: LogId, clock: Revision) {
        let mut raw = Vec::with_capacity(16);
        raw.put_u64(applied.leader_id.term);
        raw.put_u64(applied.index);
        batch.put_cf(self.meta(), META_APPLIED, raw);
        batch.put_cf(self.meta(), META_REVISION, clock.to_be_bytes());
    }

    pub(crate) fn put_membership(
        &self,
        batch: &mut WriteBatch,
        membership: &StoredMembership,
    ) -> io::Result<()> {
        batch.put_cf(self.meta(), META_MEMBERSHIP, serde_json::to_vec(membership)?);
        Ok(())
    }

    pub(crate) fn put_compacted(&self, batch: &mut WriteBatch, revision: Revision) {
        batch.put_cf(self.meta(), META_COMPACTED, revision.to_be_bytes());
    }

    pub(super) fn put_scrubbed(&self, batch: &mut WriteBatch, revision: Revision) {
        batch.put_cf(self.meta(), META_SCRUBBED, revision.to_be_bytes());
    }

    /// Store a new version of a key and its change. `previous` 0: there was none.
    pub(crate) fn put_version(
        &self,
        batch: &mut WriteBatch,
        record: &Record,
        delete: bool,
        previous: Revision,
    ) {
        let revision = record.mod_revision;
        let mut value = Vec::with_capacity(9 + record.stored().len());
        if delete {
            value.put_u8(KIND_TOMBSTONE);
        } else {
            value.put_u8(KIND_PUT);
            value.put_u64(record.create_revision);
            value.put_slice(record.stored());
        }
        batch.put_cf(self.kv(), version_key(&record.key, revision), value);
        let mut change = Vec::with_capacity(9 + record.key.len());
        change.put_u8(if delete { KIND_TOMBSTONE } else { KIND_PUT });
        change.put_u64(previous);
        change.put_slice(record.key.as_bytes());
        batch.put_cf(self.rev(), revision.to_be_bytes(), change);
    }

    /// The record of `key` written at `revision`, if that version is still there.
    pub(super) fn version(&self, key: &Arc<str>, revision: Revision) -> io::Result<Option<Record>> {
        let raw =
            self.db.get_cf(self.kv(), version_key(key, revision)).map_err(io::Error::other)?;
        let Some(raw) = raw else { return Ok(None) };
        Ok(match decode_version(&raw)? {
            Version::Tombstone => None,
            Version::Put { create, value } => {
                let stored = Bytes::copy_from_slice(value);
                Some(Record::read(key.clone(), stored, create, revision, &self.cipher))
            }
        })
    }
}

impl Drop for StateDb {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            // Files stay readable through open handles; a leftover directory is removed at the
            // next start.
            if let Err(error) = std::fs::remove_dir_all(&self.dir) {
                tracing::warn!(%error, dir = %self.dir.display(), "cannot remove an old state");
            }
        }
    }
}

/// `key NUL revision`; NUL sorts before everything a key may contain.
pub(super) fn version_key(key: &str, revision: Revision) -> Vec<u8> {
    let mut raw = Vec::with_capacity(key.len() + 9);
    raw.put_slice(key.as_bytes());
    raw.put_u8(0);
    raw.put_u64(revision);
    raw
}

/// Split a row's key of `kv`.
pub(super) fn split_version_key(raw: &[u8]) -> io::Result<(&str, Revision)> {
    let bad = || io::Error::other("a row of the state has a malformed key");
    let (rest, revision) = raw.split_last_chunk::<8>().ok_or_else(bad)?;
    let (nul, key) = rest.split_last().ok_or_else(bad)?;
    if *nul != 0 {
        return Err(bad());
    }
    Ok((std::str::from_utf8(key).map_err(|_| bad())?, u64::from_be_bytes(*revision)))
}

pub(super) fn decode_version(raw: &[u8]) -> io::Result<Version<'_>> {
    let mut reader = Reader::new(raw);
    match reader.u8("version kind").map_err(io::Error::other)? {
        KIND_TOMBSTONE => Ok(Version::Tombstone),
        KIND_PUT => {
            let create = reader.u64("create revision").map_err(io::Error::other)?;
            Ok(Version::Put { create, value: &raw[reader.position()..] })
        }
        _ => Err(io::Error::other("a row of the state is of an unknown kind")),
    }
}

pub(super) fn decode_change(raw: &[u8]) -> io::Result<Change<'_>> {
    let mut reader = Reader::new(raw);
    let kind = reader.u8("change kind").map_err(io::Error::other)?;
    let previous = reader.u64("previous revision").map_err(io::Error::other)?;
    let key = std::str::from_utf8(&raw[reader.position()..]).map_err(io::Error::other)?;
    Ok(Change { delete: kind == KIND_TOMBSTONE, previous, key })
}
