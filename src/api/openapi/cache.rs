//! The documents made last, compressed.

use std::collections::VecDeque;

use super::make::Document;

/// Compressed bytes kept at most. kubectl asks for one or two documents and keeps them itself.
const MAX_BYTES: usize = 1024 * 1024;

/// Documents by name, the one used last at the end.
pub(super) struct Cache {
    documents: VecDeque<(String, Document)>,
    bytes: usize,
}

impl Cache {
    pub(super) const fn new() -> Self {
        Self { documents: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn get(&mut self, name: &str) -> Option<Document> {
        let at = self.documents.iter().position(|(n, _)| n == name)?;
        let found = self.documents.remove(at)?;
        let document = found.1.clone();
        self.documents.push_back(found);
        Some(document)
    }

    /// Keeps a document, and drops those that were not used for longest. One that is larger than
    /// the whole cache is not kept.
    pub(super) fn put(&mut self, name: &str, document: Document) {
        let size = document.compressed.len();
        if size > MAX_BYTES {
            return;
        }
        while self.bytes + size > MAX_BYTES {
            let Some((_, dropped)) = self.documents.pop_front() else { break };
            self.bytes -= dropped.compressed.len();
        }
        self.bytes += size;
        self.documents.push_back((name.to_owned(), document));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(size: usize) -> Document {
        Document { compressed: vec![0; size].into(), etag: String::new() }
    }

    #[test]
    fn the_least_used_is_dropped_first() {
        let mut cache = Cache::new();
        cache.put("a", document(MAX_BYTES / 2));
        cache.put("b", document(MAX_BYTES / 2));
        assert!(cache.get("a").is_some());
        cache.put("c", document(MAX_BYTES / 2));
        assert!(cache.get("b").is_none() && cache.get("a").is_some() && cache.get("c").is_some());
        assert!(cache.bytes <= MAX_BYTES);
        cache.put("d", document(MAX_BYTES + 1));
        assert!(cache.get("d").is_none() && cache.get("a").is_some());
    }
}
