//! The one thread that makes the log durable: one `flush_wal(true)` for all that waits.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use crossbeam_channel::{Receiver, Sender};
use rocksdb::DB;

use crate::{Fault, Faults};

/// Jobs that may wait for the disk. The proposer's limits keep this far from full; a full queue
/// holds the caller back. Its slots are allocated, and touched, at once.
const QUEUE: usize = 4_096;

type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Handle of the flusher thread. The thread ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Flusher {
    queue: Option<Sender<Done>>,
    thread: Option<std::thread::JoinHandle<()>>,
    failure: Arc<OnceLock<String>>,
}

impl Flusher {
    pub(crate) fn start(db: Arc<DB>, faults: Faults) -> io::Result<Self> {
        let (queue, jobs) = crossbeam_channel::bounded(QUEUE);
        let failure = Arc::new(OnceLock::new());
        let seen = failure.clone();
        let thread = std::thread::Builder::new()
            .name("kabuki-flusher".into())
            .spawn(move || run(&db, &jobs, &seen, &faults))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), failure })
    }

    /// Call `done` once everything written before this call is on disk, in the order of calls.
    pub(crate) fn after_sync(&self, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let Some(queue) = &self.queue else { return };
        if let Err(refused) = queue.send(Box::new(done)) {
            (refused.into_inner())(Err(io::Error::other("the flusher thread is gone")));
        }
    }

    /// The failure that stopped the disk, if one did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log flusher panicked");
        }
    }
}

fn run(db: &DB, jobs: &Receiver<Done>, failure: &OnceLock<String>, faults: &Faults) {
    let mut batch = Vec::new();
    while let Ok(first) = jobs.recv() {
        batch.push(first);
        batch.extend(jobs.try_iter());
        if faults.on(Fault::AnswerBeforeSync) {
            batch.drain(..).for_each(|done| done(Ok(())));
            continue;
        }
        faults.before_sync();
        // A failed fsync may have dropped dirty pages: a second one that succeeds proves nothing.
        // So the first failure is final and every later job fails with it.
        if failure.get().is_none()
            && let Err(error) = db.flush_wal(true)
        {
            tracing::error!(%error, "cannot sync the raft log; this member stops, check its disk");
            failure.get_or_init(|| error.to_string());
        }
        faults.synced(db.path());
        for done in batch.drain(..) {
            done(match failure.get() {
                None => Ok(()),
                Some(text) => Err(io::Error::other(text.clone())),
            });
        }
    }
}
