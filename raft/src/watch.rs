//! Watches: cursors over shared rings of events, and over the disk for what the rings lost.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::{
    Event, Fault, Revision, StoreError,
    state::{RingRead, State, Topic},
};

/// A cursor over the changes of a topic or prefix. Costs no memory per event.
pub struct Watch {
    state: Arc<State>,
    topic: Arc<Topic>,
    changed: watch::Receiver<()>,
    prefix: String,
    cursor: Revision,
}

impl Watch {
    pub(crate) fn new(
        state: Arc<State>,
        prefix: &str,
        after: Revision,
    ) -> Result<Self, StoreError> {
        state.check_history(after)?;
        let topic = state.rings().topic(prefix);
        let changed = topic.subscribe();
        Ok(Self { state, topic, changed, prefix: prefix.to_owned(), cursor: after })
    }

    /// The next changes, in order, without gap or duplicate; waits until there are some.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the history to continue from is gone,
    /// [`StoreError::Closed`] after shutdown, [`StoreError::Storage`] when the disk fails.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        loop {
            if self.state.is_closed() {
                return Err(StoreError::Closed);
            }
            // Marked as seen before the ring is read: what comes later wakes again.
            self.changed.borrow_and_update();
            let events = match self.topic.read(self.cursor) {
                RingRead::Before(floor) if self.state.faults.on(Fault::WatchGaps) => {
                    self.cursor = floor;
                    continue;
                }
                RingRead::Before(floor) => self.read_disk(floor).await?,
                RingRead::Events(events) if events.is_empty() => {
                    if self.changed.changed().await.is_err() {
                        return Err(StoreError::Closed);
                    }
                    continue;
                }
                RingRead::Events(events) => {
                    if let Some(last) = events.last() {
                        self.cursor = last.revision;
                    }
                    events
                }
            };
            let events: Vec<_> =
                events.into_iter().filter(|e| e.record.key.starts_with(&self.prefix)).collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    async fn read_disk(&mut self, floor: Revision) -> Result<Vec<Arc<Event>>, StoreError> {
        let (db, prefix, after) = (self.state.db(), self.prefix.clone(), self.cursor);
        let read = tokio::task::spawn_blocking(move || db.events(&prefix, after, floor)).await;
        let found = read
            .map_err(|e| StoreError::Storage(e.to_string()))?
            .map_err(|e| self.state.fail(&e))?;
        // Compaction marks first and removes later: if the mark is not past the cursor now,
        // nothing that was read was missing anything.
        self.state.check_history(after)?;
        self.cursor = found.searched;
        Ok(found.events)
    }

    /// Everything at or before this revision was delivered; good for bookmarks.
    pub fn progress(&self) -> Revision {
        // In this order: what is published is in the rings.
        let published = self.state.published();
        if self.topic.last() <= self.cursor { published.max(self.cursor) } else { self.cursor }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("prefix", &self.prefix)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}
