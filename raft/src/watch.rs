//! Watches: cursors over shared rings of events.

use std::sync::Arc;

use crate::{Event, Revision, StoreError};

/// A cursor over the changes of a topic or prefix.
#[derive(Debug)]
pub struct Watch {
    cursor: Revision,
}

impl Watch {
    /// The next changes, in order, without gap or duplicate; waits until there are some.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] when the history to continue from is gone,
    /// [`StoreError::Closed`] after shutdown.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        Err(StoreError::Closed)
    }

    /// Everything at or before this revision was delivered; good for bookmarks.
    pub fn progress(&self) -> Revision {
        self.cursor
    }
}
