//! What admission says about a request beside its verdict.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// Warnings kept for one request.
const WARNINGS_MAX: usize = 64;
/// Audit annotations kept for one request.
const ANNOTATIONS_MAX: usize = 256;
/// Bytes kept of one text; what is longer is cut (warnings are cut again where they are sent).
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Warnings for the client and annotations for the audit log. Clones share what is noted; those of
/// requests nobody listens to ([`Notes::default`]) drop it.
#[derive(Debug, Clone, Default)]
pub struct Notes(Option<Arc<Mutex<Noted>>>);

#[derive(Debug, Default)]
struct Noted {
    warnings: Vec<String>,
    annotations: BTreeMap<String, String>,
}

impl Notes {
    /// Notes that somebody will take.
    pub fn open() -> Self {
        Self(Some(Arc::default()))
    }

    /// A `Warning` header; the same text is sent once.
    pub fn warn(&self, text: &str) {
        let Some(noted) = &self.0 else { return };
        let mut noted = noted.lock();
        let text = cut(text);
        if noted.warnings.len() < WARNINGS_MAX && !noted.warnings.iter().any(|w| w == text) {
            noted.warnings.push(text.to_owned());
        }
    }

    /// An annotation of the audit event. The first value of a key stays, as upstream.
    pub fn annotate(&self, key: &str, value: &str) {
        let Some(noted) = &self.0 else { return };
        let mut noted = noted.lock();
        if noted.annotations.len() < ANNOTATIONS_MAX && !noted.annotations.contains_key(key) {
            noted.annotations.insert(cut(key).to_owned(), cut(value).to_owned());
        }
    }

    /// What was noted since the last call.
    pub fn take(&self) -> (Vec<String>, BTreeMap<String, String>) {
        let Some(noted) = &self.0 else { return <_>::default() };
        let noted = std::mem::take(&mut *noted.lock());
        (noted.warnings, noted.annotations)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_shared_and_bounded() {
        let notes = Notes::open();
        let clone = notes.clone();
        for n in 0..2 * WARNINGS_MAX {
            clone.warn(&format!("w{n}"));
            clone.warn("w0");
        }
        clone.annotate("k", "first");
        clone.annotate("k", &"é".repeat(TEXT_BYTES_MAX));
        clone.annotate("long", &"é".repeat(TEXT_BYTES_MAX));
        let (warnings, annotations) = notes.take();
        assert_eq!((warnings.len(), warnings[0].as_str()), (WARNINGS_MAX, "w0"));
        assert_eq!(annotations["k"], "first");
        assert_eq!(annotations["long"].len(), TEXT_BYTES_MAX);
        assert_eq!(notes.take(), <_>::default());
        Notes::default().warn("nobody listens");
    }
}
