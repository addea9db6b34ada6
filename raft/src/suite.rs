//! openraft's own storage tests on this storage.

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use tempfile::TempDir;

use crate::{
    Faults, Limits,
    log::LogStore,
    state::{State, StateMachine},
    types::TypeConfig,
};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = LogStore::open(&dir.path().join("log"), None, Faults::default()).expect("a log");
        let state = State::open(dir.path(), &Limits::default(), None, Faults::default(), None)
            .expect("a state");
        Ok((dir, log, StateMachine { state }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openraft_accepts_this_storage() {
    Suite::test_all(Builder).await.expect("openraft's storage suite");
}
