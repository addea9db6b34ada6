//! Where the store's tasks run: the caller's runtime if it has several threads, else its own.
//!
//! openraft's core must not share one thread with handlers that may be busy.

use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::StoreError;

/// Worker threads of an own runtime.
const WORKERS: usize = 2;
/// Name of its threads.
const THREAD_NAME: &str = "kabuki-raft";
/// How long dropping the store waits for its work on disk.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A handle, and the runtime behind it when it is ours.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) handle: Handle,
    owned: Option<Runtime>,
}

impl Home {
    pub(crate) fn find() -> Result<Self, StoreError> {
        if let Ok(handle) = Handle::try_current()
            && handle.runtime_flavor() == RuntimeFlavor::MultiThread
        {
            return Ok(Self { handle, owned: None });
        }
        let owned = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name(THREAD_NAME)
            .enable_all()
            .build()
            .map_err(|e| StoreError::Open(format!("cannot start threads: {e}")))?;
        Ok(Self { handle: owned.handle().clone(), owned: Some(owned) })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(runtime) = self.owned.take() {
            if std::thread::current().name() == Some(THREAD_NAME) {
                // One of its own threads cannot wait for itself.
                runtime.shutdown_background();
                return;
            }
            // A process that ends while its store still works on RocksDB may abort. Waiting inside
            // another runtime would panic, so a thread of its own waits.
            let ending = std::thread::spawn(move || runtime.shutdown_timeout(END_LIMIT));
            if ending.join().is_err() {
                tracing::error!("the store's threads ended badly");
            }
        }
    }
}
