//! The current records: one ordered map, and the revision it shows.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::FIRST_REVISION;
use crate::{ListPage, Record, Revision};

/// The current records at one revision.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) map: BTreeMap<Arc<str>, Arc<Record>>,
    pub(crate) revision: Revision,
}

impl Default for Current {
    fn default() -> Self {
        Self { map: BTreeMap::new(), revision: FIRST_REVISION }
    }
}

impl Current {
    /// The newest revision of a record that is left.
    pub(crate) fn newest(&self) -> Revision {
        self.map.values().map(|r| r.mod_revision).max().unwrap_or(FIRST_REVISION)
    }

    /// Records under `prefix` in key order, after `start_after`, at most `limit` (0: all).
    pub(crate) fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> ListPage {
        let from = match start_after {
            Some(key) if key >= prefix => Bound::Excluded(key),
            _ => Bound::Included(prefix),
        };
        let mut rest = self
            .map
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, record)| record);
        let records: Vec<_> = match limit {
            0 => rest.by_ref().cloned().collect(),
            _ => rest.by_ref().take(limit).cloned().collect(),
        };
        let remaining = rest.count() as u64;
        ListPage { records, revision: self.revision, more: remaining > 0, remaining }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn pages() {
        let mut current = Current::default();
        for key in ["/a/1", "/a/2", "/a/3", "/b/1"] {
            let record = Record::new(key.into(), Bytes::new(), 2, 2);
            current.map.insert(record.key.clone(), Arc::new(record));
        }
        let keys = |page: &ListPage| -> Vec<String> {
            page.records.iter().map(|r| r.key.to_string()).collect()
        };
        let page = current.list("/a/", None, 2);
        assert_eq!(keys(&page), ["/a/1", "/a/2"]);
        assert!(page.more);
        assert_eq!(page.remaining, 1);
        let page = current.list("/a/", Some("/a/2"), 2);
        assert_eq!(keys(&page), ["/a/3"]);
        assert!(!page.more);
        assert_eq!(keys(&current.list("/a/", None, 0)).len(), 3);
        assert_eq!(keys(&current.list("/", Some("/a"), 0)).len(), 4);
        assert_eq!(keys(&current.list("/b/", Some("/a/3"), 0)), ["/b/1"]);
    }
}
