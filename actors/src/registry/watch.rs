//! Watches: initial state, selector transitions, bookmarks.

use std::{collections::VecDeque, sync::Arc};

use kabuki_api::{kind::Kind, status::Status, validate::FieldError};
use kabuki_raft::{Event, EventKind, Revision, StoreError, Watch};

use super::{
    list::Selection,
    object::Object,
    options::WatchOptions,
    outcome::WatchEvent,
    store::{Registry, parse_revision, store_status},
};

/// Initial events handed out per call, so that a large initial state does not sit encoded twice.
const INITIAL_BATCH: usize = 500;

/// A watch under way. Dropping it ends it.
pub struct ObjectWatch {
    kind: &'static Kind,
    selection: Selection,
    cursor: Watch,
    /// Of a custom kind: the changes of its definition.
    definition: Option<Follow>,
    initial: VecDeque<Arc<Object>>,
    /// Revision of the initial state; its end is announced with a bookmark when `announce`.
    initial_revision: Revision,
    announce: bool,
}

/// The definition of what is watched, followed to its end.
struct Follow {
    cursor: Watch,
    registry: Registry,
}

impl Follow {
    /// Waits until the kind is not served any more.
    async fn end_of(&mut self, kind: &'static Kind) {
        loop {
            let changed = self.cursor.next().await;
            let definitions = self.registry.definitions();
            let served = definitions.by_resource(kind.group, kind.version, kind.plural);
            // Whoever lost track of the definition had better begin anew.
            if changed.is_err() || served != Some(kind) {
                return;
            }
        }
    }
}

impl Registry {
    /// Watches a kind. `resourceVersion` empty: the latest state as ADDED events, then changes;
    /// `0`: the same from what is applied here; N: changes after N (waits if N is ahead).
    /// Timeouts and the times of bookmarks are the caller's.
    ///
    /// # Errors
    /// 400 for selectors, 410 when changes after N were compacted, 422 for options that exclude
    /// each other, 504 when `sendInitialEvents` asks for a state ahead of the cluster.
    pub async fn watch(
        &self,
        kind: &'static Kind,
        options: &WatchOptions,
    ) -> Result<ObjectWatch, Status> {
        let selection = Selection::parse(kind, &options.label_selector, &options.field_selector)?;
        check_initial(options)?;
        let prefix = selection.prefix(kind, options.namespace.as_deref());
        let streaming = options.send_initial_events == Some(true);
        let version = options.resource_version.as_str();
        match version {
            "" => {
                self.barrier().await?;
            }
            "0" => {}
            text if streaming => self.wait_for(parse_revision(text)?).await?,
            _ => {}
        }
        let legacy = options.send_initial_events.is_none() && matches!(version, "" | "0");
        let (initial, after) = if streaming || legacy {
            let page = self.store().list(&prefix, None, 0);
            let objects = page.records.into_iter().map(|r| Arc::new(Object::new(kind, r)));
            let readable = objects.filter(|o| o.is_readable());
            (readable.filter(|o| selection.matches(o)).collect(), page.revision)
        } else if matches!(version, "" | "0") {
            (VecDeque::new(), self.store().revision())
        } else {
            (VecDeque::new(), parse_revision(version)?)
        };
        let cursor = self.store().watch(&prefix, after).map_err(|e| self.watch_status(e, after))?;
        let definition = self.follow_definition(kind)?;
        let announce = streaming && options.allow_bookmarks;
        let initial_revision = after;
        Ok(ObjectWatch { kind, selection, cursor, definition, initial, initial_revision, announce })
    }

    fn follow_definition(&self, kind: &'static Kind) -> Result<Option<Follow>, Status> {
        if kind.custom.is_none() {
            return Ok(None);
        }
        // Taken first: a change of the definitions after that will be reported.
        let now = self.store().revision();
        let definitions = self.definitions();
        let definition = definitions.of(kind).ok_or_else(Status::unknown_resource)?;
        let (key, _) = definition.origin();
        let cursor = self.store().watch(key, now).map_err(|e| self.watch_status(e, now))?;
        Ok(Some(Follow { cursor, registry: self.clone() }))
    }

    fn watch_status(&self, error: StoreError, after: Revision) -> Status {
        match error {
            StoreError::Compacted { .. } => Status::too_old(after, self.store().compacted()),
            other => store_status(other),
        }
    }
}

fn check_initial(options: &WatchOptions) -> Result<(), Status> {
    let rule = options.resource_version_match.as_str();
    let error = match options.send_initial_events {
        Some(_) if rule != "NotOlderThan" => FieldError::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        None if !rule.is_empty() => FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        _ => return Ok(()),
    };
    Err(Status::invalid_named("meta.k8s.io", "ListOptions", "", &[error]))
}

impl ObjectWatch {
    /// The next events, in order; empty once the watch is over because the definition of its kind
    /// is gone. Cancel-safe.
    ///
    /// # Errors
    /// 410 when the watcher fell behind what is kept: it must list again. After an error the watch
    /// is over.
    pub async fn next(&mut self) -> Result<Vec<WatchEvent>, Status> {
        if !self.initial.is_empty() {
            let count = self.initial.len().min(INITIAL_BATCH);
            return Ok(self.initial.drain(..count).map(WatchEvent::Added).collect());
        }
        if std::mem::take(&mut self.announce) {
            let revision = self.initial_revision;
            return Ok(vec![WatchEvent::Bookmark { revision, initial_events_end: true }]);
        }
        loop {
            let events = match &mut self.definition {
                None => self.cursor.next().await,
                Some(definition) => tokio::select! {
                    // The removal of the last objects comes before that of their definition.
                    biased;
                    events = self.cursor.next() => events,
                    () = definition.end_of(self.kind) => return Ok(Vec::new()),
                },
            };
            let events = events.map_err(|error| match error {
                StoreError::Compacted { .. } => {
                    Status::too_old(self.cursor.progress(), self.cursor.progress())
                }
                other => store_status(other),
            })?;
            let out: Vec<_> = events.iter().filter_map(|e| self.translate(e)).collect();
            if !out.is_empty() {
                return Ok(out);
            }
        }
    }

    /// A bookmark for what was delivered so far; `None` while initial events are still due.
    pub fn bookmark(&self) -> Option<WatchEvent> {
        if !self.initial.is_empty() || self.announce {
            return None;
        }
        let revision = self.cursor.progress().max(self.initial_revision);
        Some(WatchEvent::Bookmark { revision, initial_events_end: false })
    }

    /// The kind watched.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    fn translate(&self, event: &Event) -> Option<WatchEvent> {
        let object = |record: &Arc<kabuki_raft::Record>| Object::new(self.kind, Arc::clone(record));
        let now = object(&event.record);
        // An object without its key is nobody's business but that of who reads it by name.
        if !now.is_readable() {
            return None;
        }
        if event.kind == EventKind::Delete {
            return self.selection.matches(&now).then(|| WatchEvent::Deleted(Arc::new(now)));
        }
        let before = event.previous.as_ref().map(object);
        if self.selection.is_everything() {
            let now = Arc::new(now);
            return Some(match before {
                None => WatchEvent::Added(now),
                Some(_) => WatchEvent::Modified(now),
            });
        }
        let matched = before.filter(|o| self.selection.matches(o));
        match (matched, self.selection.matches(&now)) {
            (None, false) => None,
            (None, true) => Some(WatchEvent::Added(Arc::new(now))),
            (Some(_), true) => Some(WatchEvent::Modified(Arc::new(now))),
            (Some(old), false) => {
                Some(WatchEvent::Deleted(Arc::new(old.at_revision(event.revision))))
            }
        }
    }
}
