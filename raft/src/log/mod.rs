//! The Raft log: one RocksDB, one flusher thread.

pub(crate) mod ending;
mod flusher;
mod storage;
mod store;

pub(crate) use store::LogStore;
