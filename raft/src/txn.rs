//! Transactions: compare revisions, then write, all or nothing.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Revision, StoreError};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Largest value, in bytes (etcd's default request limit is 1.5 MiB; Kubernetes objects reach it).
pub const MAX_VALUE_BYTES: usize = 3 * 1024 * 1024;
/// Most operations and most comparisons in one transaction.
pub const MAX_TXN_OPS: usize = 512;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create or replace.
    Put {
        /// The full key.
        key: String,
        /// The bytes to store.
        value: Bytes,
    },
    /// Delete. Deleting an absent key is allowed and takes a revision without an event.
    Delete {
        /// The full key.
        key: String,
    },
}

impl Op {
    /// The key this operation writes.
    pub fn key(&self) -> &str {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The full key.
    pub key: String,
    /// The revision the key must be at; 0 means the key must be absent.
    pub mod_revision: Revision,
}

/// Conditions and the writes that happen, all of them, when every condition holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compare: Vec<Compare>,
    /// What to write, in order; each operation gets its own revision.
    pub ops: Vec<Op>,
    /// A term: the transaction is refused unless this member leads in that term.
    pub fence: Option<u64>,
}

impl Txn {
    /// Write `value` under `key` without a condition.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { ops: vec![Op::Put { key: key.into(), value: value.into() }], ..Self::default() }
    }

    /// Delete `key` without a condition.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { ops: vec![Op::Delete { key: key.into() }], ..Self::default() }
    }

    /// Add the condition that `key` is at `mod_revision` (0: absent).
    pub fn when(mut self, key: impl Into<String>, mod_revision: Revision) -> Self {
        self.compare.push(Compare { key: key.into(), mod_revision });
        self
    }

    /// Add a fence.
    pub fn fenced(mut self, term: u64) -> Self {
        self.fence = Some(term);
        self
    }

    /// Check the limits.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] with the limit that is exceeded.
    pub fn check(&self) -> Result<(), StoreError> {
        let invalid = |text: String| Err(StoreError::Invalid(text));
        if self.ops.is_empty() {
            return invalid("a transaction needs at least one operation".into());
        }
        if self.ops.len() > MAX_TXN_OPS || self.compare.len() > MAX_TXN_OPS {
            return invalid(format!("a transaction has at most {MAX_TXN_OPS} operations"));
        }
        let keys = self.ops.iter().map(Op::key).chain(self.compare.iter().map(|c| c.key.as_str()));
        for key in keys {
            if key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') {
                return invalid(format!(
                    "a key has 1 to {MAX_KEY_BYTES} bytes and no NUL, got {} bytes",
                    key.len()
                ));
            }
        }
        let mut total = 0;
        for op in &self.ops {
            if let Op::Put { value, .. } = op {
                total += value.len();
            }
        }
        if total > MAX_VALUE_BYTES {
            return invalid(format!(
                "a transaction carries at most {MAX_VALUE_BYTES} bytes of values, got {total}"
            ));
        }
        Ok(())
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnOutcome {
    /// Every condition held and every operation was applied.
    Committed {
        /// The revision of the last operation.
        revision: Revision,
        /// One revision per operation, in order.
        revisions: Vec<Revision>,
    },
    /// A condition did not hold; nothing was written.
    Conflict {
        /// The first key whose condition did not hold.
        key: String,
        /// The revision this key is at; 0 when it is absent.
        current: Revision,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let big = Bytes::from(vec![0u8; MAX_VALUE_BYTES + 1]);
        let cases = [
            (Txn::default(), false),
            (Txn::put("/a", "x"), true),
            (Txn::put("", "x"), false),
            (Txn::put("/a\0b", "x"), false),
            (Txn::put("x".repeat(MAX_KEY_BYTES + 1), "x"), false),
            (Txn::put("/a", big), false),
            (Txn::delete("/a").when("", 3), false),
            (Txn::delete("/a").when("/a", 3), true),
        ];
        for (txn, ok) in cases {
            assert_eq!(txn.check().is_ok(), ok, "{:?}", txn.compare);
        }
    }
}
