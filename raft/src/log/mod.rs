//! The Raft log: one RocksDB, one flusher thread.

mod flusher;
mod storage;
mod store;

pub(crate) use store::LogStore;
