//! Reading and removing history: old lists, old events, compaction on disk.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};

use super::db::{StateDb, Version, decode_change, decode_version, split_version_key, version_key};
use crate::{Event, EventKind, Fault, ListPage, Record, Revision};

/// Events one read of the disk returns at most.
const READ_EVENTS: usize = 256;
/// Changes one read of the disk looks at, so that a rare topic does not hold a thread for long.
const READ_CHANGES: usize = 10_000;
/// Revisions removed by one step of compaction.
const SCRUB_STEP: u64 = 2_000;

/// Events found on disk, and up to where the search went.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) searched: Revision,
}

/// A row's key of `rev`.
fn revision_of(raw: &[u8]) -> io::Result<Revision> {
    let raw = raw.try_into();
    raw.map(u64::from_be_bytes).map_err(|_| io::Error::other("a change has a malformed revision"))
}

impl StateDb {
    /// Every current record, in key order.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<Arc<str>, Arc<Record>>> {
        let mut newest: Vec<(Arc<str>, Option<Arc<Record>>)> = Vec::new();
        for row in self.db.iterator_cf(self.kv(), IteratorMode::Start) {
            let (key, value) = row.map_err(io::Error::other)?;
            let (key, revision) = split_version_key(&key)?;
            let name = match newest.last() {
                Some((last, _)) if &**last == key => last.clone(),
                _ => Arc::from(key),
            };
            let record = match decode_version(&value)? {
                Version::Tombstone => None,
                Version::Put { create, value } => Some(Arc::new(Record::read(
                    name.clone(),
                    Bytes::copy_from_slice(value),
                    create,
                    revision,
                    &self.cipher,
                ))),
            };
            match newest.last_mut() {
                Some(last) if last.0 == name => last.1 = record,
                _ => newest.push((name, record)),
            }
        }
        Ok(newest.into_iter().filter_map(|(key, record)| Some((key, record?))).collect())
    }

    /// Read what [`StateDb::load`] does not, so that damage shows at the start and not when a
    /// watcher asks.
    #[allow(deprecated, reason = "it is slower, which does not matter once")]
    pub(crate) fn verify(&self) -> io::Result<()> {
        let mut options = ReadOptions::default();
        // Also what was compacted: its damage must not show when RocksDB rewrites a file.
        options.set_ignore_range_deletions(true);
        options.fill_cache(false);
        for row in self.db.iterator_cf_opt(self.rev(), options, IteratorMode::Start) {
            let (_, change) = row.map_err(io::Error::other)?;
            decode_change(&change)?;
        }
        Ok(())
    }

    /// What a list would have shown at `revision`.
    pub(crate) fn list_at(
        &self,
        prefix: &str,
        revision: Revision,
        start_after: Option<&str>,
        limit: usize,
    ) -> io::Result<ListPage> {
        // Versions of `start_after` itself sort from `start_after NUL`; 0x01 is behind them all.
        let from = match start_after {
            Some(key) if key >= prefix => [key.as_bytes(), &[1]].concat(),
            _ => prefix.as_bytes().to_vec(),
        };
        let mut page = ListPage { records: Vec::new(), revision, more: false, remaining: 0 };
        let mut newest: Option<Record> = None;
        let mut name: Arc<str> = "".into();
        let take = |page: &mut ListPage, newest: &mut Option<Record>| {
            let Some(record) = newest.take() else { return };
            if limit == 0 || page.records.len() < limit {
                page.records.push(Arc::new(record));
            } else {
                page.remaining += 1;
                page.more = true;
            }
        };
        let mode = IteratorMode::From(&from, Direction::Forward);
        for row in self.db.iterator_cf(self.kv(), mode) {
            let (key, value) = row.map_err(io::Error::other)?;
            let (key, written) = split_version_key(&key)?;
            if !key.starts_with(prefix) {
                break;
            }
            if *name != *key {
                take(&mut page, &mut newest);
                name = key.into();
            }
            if written > revision {
                continue;
            }
            let full = limit != 0 && page.records.len() >= limit;
            newest = match decode_version(&value)? {
                Version::Tombstone => None,
                Version::Put { create, value } => {
                    // Behind a full page records are only counted.
                    Some(if full {
                        Record::new(name.clone(), Bytes::new(), create, written)
                    } else {
                        let stored = Bytes::copy_from_slice(value);
                        Record::read(name.clone(), stored, create, written, &self.cipher)
                    })
                }
            };
        }
        take(&mut page, &mut newest);
        Ok(page)
    }

    /// Events under `prefix` after `after`, up to and including `upto`, oldest first.
    pub(crate) fn events(
        &self,
        prefix: &str,
        after: Revision,
        upto: Revision,
    ) -> io::Result<Found> {
        let mut found = Found { events: Vec::new(), searched: after };
        let from = (after + 1).to_be_bytes();
        let mode = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db.iterator_cf(self.rev(), mode);
        for (seen, row) in rows.enumerate() {
            let (revision, change) = row.map_err(io::Error::other)?;
            let revision = revision_of(&revision)?;
            if revision > upto {
                break;
            }
            if found.events.len() >= READ_EVENTS || seen >= READ_CHANGES {
                return Ok(found);
            }
            let change = decode_change(&change)?;
            if change.key.starts_with(prefix) {
                let event = self.event(revision, change.key, change.delete, change.previous)?;
                // A version that is gone was compacted; the caller finds that out by the marker.
                found.events.extend(event.map(Arc::new));
            }
            found.searched = revision;
        }
        found.searched = upto.max(after);
        Ok(found)
    }

    fn event(
        &self,
        revision: Revision,
        key: &str,
        delete: bool,
        previous: Revision,
    ) -> io::Result<Option<Event>> {
        let key: Arc<str> = key.into();
        let previous = match previous {
            0 => None,
            previous => self.version(&key, previous)?.map(Arc::new),
        };
        let (kind, record) = if delete {
            let Some(last) = &previous else { return Ok(None) };
            let value = last.value.clone();
            (EventKind::Delete, Record::new(key, value, last.create_revision, revision))
        } else {
            let Some(record) = self.version(&key, revision)? else { return Ok(None) };
            (EventKind::Put, record)
        };
        Ok(Some(Event { revision, kind, record: Arc::new(record), previous }))
    }

    /// Remove one step of what lies at or before `compacted`; true while there is more.
    ///
    /// Only versions that a newer one (at or before `compacted`) replaced, and tombstones, go:
    /// every read at `compacted` or later finds what it found before.
    pub(crate) fn scrub(&self, compacted: Revision) -> io::Result<bool> {
        let done = self.scrubbed()?;
        if done >= compacted {
            return Ok(false);
        }
        let mut batch = WriteBatch::default();
        let from = (done + 1).to_be_bytes();
        let mode = IteratorMode::From(&from, Direction::Forward);
        // Where the clock jumped there is nothing to step through.
        let begin = match self.db.iterator_cf(self.rev(), mode).next() {
            Some(row) => revision_of(&row.map_err(io::Error::other)?.0)?.max(done + 1),
            None => compacted,
        };
        let upto = compacted.min(begin.saturating_add(SCRUB_STEP - 1));
        for row in self.db.iterator_cf(self.rev(), mode) {
            let (raw, change) = row.map_err(io::Error::other)?;
            if *raw > upto.to_be_bytes()[..] {
                break;
            }
            let change = decode_change(&change)?;
            if change.previous > 0 && !(change.delete && self.faults.on(Fault::LoseDeletes)) {
                batch.delete_cf(self.kv(), version_key(change.key, change.previous));
            }
            if change.delete {
                let mut own = change.key.as_bytes().to_vec();
                own.push(0);
                own.extend_from_slice(&raw);
                batch.delete_cf(self.kv(), own);
            }
        }
        batch.delete_range_cf(self.rev(), &from[..], &(upto + 1).to_be_bytes()[..]);
        self.put_scrubbed(&mut batch, upto);
        self.write(batch)?;
        Ok(upto < compacted)
    }
}
