//! Records and the events made from them: immutable, shared by every reader.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    Revision,
    cipher::{Opened, SharedCipher},
};

/// One version of one key. Shared by every reader; never changed after it was made.
pub struct Record {
    /// The full key.
    pub key: Arc<str>,
    /// The bytes.
    pub value: Bytes,
    /// The revision at which the key came to be (or came to be again after a deletion).
    pub create_revision: Revision,
    /// The revision that wrote this version.
    pub mod_revision: Revision,
    /// What is stored, if that is not the value or should become something else.
    sealed: Option<Box<Opened>>,
    ext: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Record {
    /// A record. Stores make them; tests may too.
    pub fn new(
        key: Arc<str>,
        value: Bytes,
        create_revision: Revision,
        mod_revision: Revision,
    ) -> Self {
        Self { key, value, create_revision, mod_revision, sealed: None, ext: OnceLock::new() }
    }

    /// The record of stored bytes.
    pub(crate) fn read(
        key: Arc<str>,
        stored: Bytes,
        create_revision: Revision,
        mod_revision: Revision,
        cipher: &SharedCipher,
    ) -> Self {
        let Some(cipher) = cipher else {
            return Self::new(key, stored, create_revision, mod_revision);
        };
        let opened = cipher.open(&key, stored);
        let record = Self::new(key, opened.value.clone(), create_revision, mod_revision);
        let same = !opened.stale && opened.value == opened.stored;
        Self { sealed: (!same).then(|| Box::new(opened)), ..record }
    }

    /// The bytes as they are on disk and on the wire: sealed, where values are.
    pub fn stored(&self) -> &Bytes {
        self.sealed.as_ref().map_or(&self.value, |sealed| &sealed.stored)
    }

    /// Whether writing the same value again would store it in another form: sealed with a newer
    /// key, or sealed at all.
    pub fn is_stale(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.stale)
    }

    /// A decoded form of this record, made once by the first caller and shared by all.
    ///
    /// One type per store: a caller that asks for another type than the first caller's gets a
    /// value made for it alone.
    pub fn ext<T: Any + Send + Sync>(&self, init: impl FnOnce(&Record) -> T) -> Arc<T> {
        if let Some(existing) = self.ext.get() {
            return match existing.clone().downcast::<T>() {
                Ok(shared) => shared,
                Err(_) => Arc::new(init(self)),
            };
        }
        let made = Arc::new(init(self));
        let shared = self.ext.get_or_init(|| made.clone());
        shared.clone().downcast::<T>().unwrap_or(made)
    }

    /// The decoded form, if somebody made one already.
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.ext.get()?.clone().downcast().ok()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("bytes", &self.value.len())
            .field("create_revision", &self.create_revision)
            .field("mod_revision", &self.mod_revision)
            .finish()
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key was created or changed.
    Put,
    /// The key was deleted.
    Delete,
}

/// One change, as every watcher sees it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The revision of the change.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// The new version; of a deletion the last value, with the deletion's revision as
    /// `mod_revision`.
    pub record: Arc<Record>,
    /// The version before. `None` for a creation.
    pub previous: Option<Arc<Record>>,
}

impl Event {
    /// Roughly the memory this event keeps alive, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const FIXED: usize = 256;
        let previous = self.previous.as_ref().map_or(0, |p| p.value.len());
        FIXED + self.record.key.len() + self.record.value.len() + previous
    }
}

/// One page of records.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The records in key order.
    pub records: Vec<Arc<Record>>,
    /// The revision the page shows the store at.
    pub revision: Revision,
    /// Whether records follow after the last one of this page.
    pub more: bool,
    /// How many records follow after the last one of this page.
    pub remaining: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ext_is_made_once_and_shared() {
        let record = Record::new("/a".into(), Bytes::from_static(b"7"), 1, 1);
        let first = record.ext(|r| r.value.len());
        let second = record.ext::<usize>(|_| unreachable!("made once"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*record.ext(|_| "other type"), "other type");
    }
}
