//! The replicated store of Kabuki: consensus (openraft) under an MVCC key-value state (RocksDB).
//!
//! It knows bytes, keys and revisions and nothing of Kubernetes. No type of openraft or RocksDB
//! is public: what a caller sees is [`Store`], and values that are immutable and shared.

mod barrier;
mod belonging;
mod cipher;
mod codec;
mod config;
mod confirm;
mod consensus;

mod duty;
mod error;
mod faults;
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod log;
mod members;
mod net;
mod parts;
mod proposer;
mod record;
mod runtime;
mod state;
mod status;
mod store;
#[cfg(test)]
mod suite;
mod txn;
mod types;
mod watch;

pub use cipher::{Cipher, Opened};
pub use config::{Limits, PeerCheck, PeerTls, StoreConfig, Timers};
pub use error::StoreError;
#[doc(hidden)]
pub use faults::{Fault, Faults};
pub use record::{Event, EventKind, ListPage, Record};
pub use status::{Leadership, Member, MemberReport, StoreStatus};
pub use store::Store;
pub use txn::{Compare, MAX_KEY_BYTES, MAX_TXN_OPS, MAX_VALUE_BYTES, Op, Txn, TxnOutcome};
pub use watch::Watch;

/// A point on the store's one clock. Every operation gets its own; never reused.
pub type Revision = u64;

/// The identity of a member. Never reused for another data directory.
pub type MemberId = u64;
