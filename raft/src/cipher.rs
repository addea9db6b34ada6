//! The form values have on disk and on the wire, where that is another than the one readers get.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// Seals values before they go into the log and opens them when they become records. Members may
/// hold different keys: what is replicated are the stored bytes, and nothing is decided by a value.
pub trait Cipher: Send + Sync + fmt::Debug {
    /// The bytes that are stored for `value`.
    ///
    /// # Errors
    /// When it cannot be sealed; then nothing is written.
    fn seal(&self, key: &str, value: Bytes) -> Result<Bytes, String>;

    /// The value of stored bytes; those that cannot be opened are their own value.
    fn open(&self, key: &str, stored: Bytes) -> Opened;
}

/// Stored bytes and what they stand for.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What readers get.
    pub value: Bytes,
    /// What is on disk.
    pub stored: Bytes,
    /// Whether the same value would be stored in another form now.
    pub stale: bool,
}

impl Opened {
    /// A value that is stored as it is.
    pub fn plain(stored: Bytes) -> Self {
        Self { value: stored.clone(), stored, stale: false }
    }
}

/// A cipher as the parts of a store share it.
pub(crate) type SharedCipher = Option<Arc<dyn Cipher>>;
