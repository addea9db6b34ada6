//! What the registry answers.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_api::{kind::Kind, status::Status};
use kabuki_raft::Revision;

use super::{
    canonical,
    object::{Object, TypeMeta},
};

/// Bytes after which a chunk of an encoded list is handed on.
const LIST_CHUNK_BYTES: usize = 256 * 1024;

/// A write that was done (or, with dry run, would have been).
#[derive(Debug, Clone)]
pub struct Written {
    /// The object as it is now.
    pub object: Arc<Object>,
    /// Whether it was created (201) rather than changed (200).
    pub created: bool,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

/// A delete that was accepted.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// The object: its last state, or the state that waits for grace or finalizers.
    pub object: Arc<Object>,
    /// Whether it is gone. `false`: it waits for its grace period or finalizers.
    pub gone: bool,
}

impl Deleted {
    /// Whether the answer's body is the object (else [`Deleted::status`]), both with code 200.
    pub fn answers_object(&self) -> bool {
        !self.gone || self.object.kind().delete_returns_object
    }

    /// The answer's body when it is not the object.
    pub fn status(&self) -> Status {
        Status::success(self.object.kind(), self.object.name(), self.object.uid())
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct ListResult {
    /// The kind of the items.
    pub kind: &'static Kind,
    /// Ordered by namespace and name.
    pub items: Vec<Arc<Object>>,
    /// The revision the list is consistent at.
    pub revision: Revision,
    /// `metadata.continue`; empty at the end.
    pub continue_token: String,
    /// `metadata.remainingItemCount`, when known.
    pub remaining: Option<u64>,
}

impl ListResult {
    /// `metadata` of the list.
    pub fn metadata(&self) -> serde_json::Value {
        let mut meta = serde_json::json!({"resourceVersion": self.revision.to_string()});
        if !self.continue_token.is_empty() {
            meta["continue"] = self.continue_token.as_str().into();
        }
        if let Some(remaining) = self.remaining.filter(|n| *n > 0) {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }

    /// The list as JSON in pieces of about 256 KiB, made as they are asked for; items are copied,
    /// not decoded.
    pub fn chunks(self) -> impl Iterator<Item = Bytes> + Send {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(b"{\"kind\":\"");
        head.extend_from_slice(self.kind.list_kind.as_bytes());
        head.extend_from_slice(b"\",\"apiVersion\":\"");
        head.extend_from_slice(self.kind.api_version().as_bytes());
        head.extend_from_slice(b"\",\"metadata\":");
        head.extend_from_slice(self.metadata().to_string().as_bytes());
        head.extend_from_slice(b",\"items\":[");
        let mut items = self.items.into_iter();
        let mut head = Some(head);
        let mut first = true;
        std::iter::from_fn(move || {
            if items.len() == 0 && head.is_none() {
                return None;
            }
            let mut out = head.take().unwrap_or_default();
            while out.len() < LIST_CHUNK_BYTES
                && let Some(object) = items.next()
            {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                object.write_json(&mut out, TypeMeta::Item);
            }
            if items.len() == 0 {
                out.extend_from_slice(b"]}");
            }
            Some(out.into())
        })
    }

    /// The list as one JSON document.
    pub fn encoded(self) -> Bytes {
        let mut out = Vec::new();
        for chunk in self.chunks() {
            out.extend_from_slice(&chunk);
        }
        out.into()
    }
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The object is new, or matches the selectors now.
    Added(Arc<Object>),
    /// The object changed.
    Modified(Arc<Object>),
    /// The object is gone, or does not match any more; holds its last matching state at the
    /// revision of the event.
    Deleted(Arc<Object>),
    /// Everything up to the revision was delivered.
    Bookmark {
        /// That revision.
        revision: Revision,
        /// Whether the initial events of `sendInitialEvents` end here.
        initial_events_end: bool,
    },
}

impl WatchEvent {
    /// `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Added(_) => "ADDED",
            Self::Modified(_) => "MODIFIED",
            Self::Deleted(_) => "DELETED",
            Self::Bookmark { .. } => "BOOKMARK",
        }
    }

    /// The object, if it is no bookmark.
    pub fn object(&self) -> Option<&Arc<Object>> {
        match self {
            Self::Added(o) | Self::Modified(o) | Self::Deleted(o) => Some(o),
            Self::Bookmark { .. } => None,
        }
    }

    /// Appends the event as one JSON line of a watch stream of `kind`.
    pub fn write_json(&self, kind: &'static Kind, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.type_name().as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match self {
            Self::Added(o) | Self::Modified(o) | Self::Deleted(o) => {
                o.write_json(out, TypeMeta::Full);
            }
            Self::Bookmark { revision, initial_events_end } => {
                out.push(b'{');
                canonical::write_type(out, kind);
                let mut meta = serde_json::json!({"resourceVersion": revision.to_string()});
                if *initial_events_end {
                    meta["annotations"] = serde_json::json!({"k8s.io/initial-events-end": "true"});
                }
                out.extend_from_slice(b",\"metadata\":");
                out.extend_from_slice(meta.to_string().as_bytes());
                out.push(b'}');
            }
        }
        out.extend_from_slice(b"}\n");
    }
}
