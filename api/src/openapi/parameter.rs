//! Parameters of operations.

use crate::schema::{self, Shape, Type};

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `string`, `boolean` or `integer`.
    pub(super) ty: &'static str,
    pub(super) text: &'static str,
    /// In the path, and then required.
    pub(super) in_path: bool,
}

const fn query(name: &'static str, ty: &'static str, text: &'static str) -> Parameter {
    Parameter { name, ty, text, in_path: false }
}

const fn path(name: &'static str, text: &'static str) -> Parameter {
    Parameter { name, ty: "string", text, in_path: true }
}

pub(super) const NAME: Parameter = path("name", "name of the object");
pub(super) const NAMESPACE: Parameter = path("namespace", "namespace the request is about");
pub(super) const PATH: Parameter = path("path", "path that is passed on");
pub(super) const PRETTY: Parameter =
    query("pretty", "string", "If 'true', the answer is indented.");

const DRY_RUN: Parameter =
    query("dryRun", "string", "'All' processes the request in full and stores nothing.");
const FIELD_MANAGER: Parameter =
    query("fieldManager", "string", "Name under which changed fields are owned.");
const FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "What happens to unknown and duplicate fields: 'Ignore', 'Warn' (default) or 'Strict'.",
);
const FORCE: Parameter =
    query("force", "boolean", "Whether an apply takes over fields that others own.");
const WATCH: Parameter = query("watch", "boolean", "Whether to answer a stream of changes.");
const BOOKMARKS: Parameter =
    query("allowWatchBookmarks", "boolean", "Whether a watch may send BOOKMARK events.");
const GRACE: Parameter =
    query("gracePeriodSeconds", "integer", "Seconds until the object is deleted; 0 is at once.");
const IGNORE_READ_ERROR: Parameter = query(
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "boolean",
    "Whether an object that cannot be read is deleted without its finalizers.",
);
const ORPHAN: Parameter =
    query("orphanDependents", "boolean", "Deprecated: see propagationPolicy.");
const PROPAGATION: Parameter = query(
    "propagationPolicy",
    "string",
    "What happens to dependents: 'Orphan', 'Background' or 'Foreground'.",
);

const CONTINUE: Parameter = query("continue", "string", "Token of the page before.");
const FIELDS: Parameter = query("fieldSelector", "string", "Selects objects by their fields.");
const LABELS: Parameter = query("labelSelector", "string", "Selects objects by their labels.");
const LIMIT: Parameter = query("limit", "integer", "Most objects in one answer.");
const VERSION: Parameter =
    query("resourceVersion", "string", "Version the answer is taken at, or the watch starts from.");
const VERSION_MATCH: Parameter = query(
    "resourceVersionMatch",
    "string",
    "How resourceVersion is meant: 'Exact' or 'NotOlderThan'.",
);
const INITIAL: Parameter = query(
    "sendInitialEvents",
    "boolean",
    "Whether a watch begins with the current objects and a bookmark at their end.",
);
const TIMEOUT: Parameter = query("timeoutSeconds", "integer", "Seconds until the answer ends.");

/// Of lists and watches, without `pretty`.
pub(super) const LISTING: &[Parameter] =
    &[BOOKMARKS, CONTINUE, FIELDS, LABELS, LIMIT, VERSION, VERSION_MATCH, INITIAL, TIMEOUT, WATCH];
/// Of creations and updates.
pub(super) const WRITING: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
/// Of patches.
pub(super) const PATCHING: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
/// Of deletions.
pub(super) const DELETING: &[Parameter] = &[DRY_RUN, GRACE, IGNORE_READ_ERROR, ORPHAN, PROPAGATION];
/// Of deletions of many.
pub(super) const DELETING_MANY: &[Parameter] = &[
    CONTINUE,
    DRY_RUN,
    FIELDS,
    GRACE,
    IGNORE_READ_ERROR,
    LABELS,
    LIMIT,
    ORPHAN,
    PROPAGATION,
    VERSION,
    VERSION_MATCH,
    INITIAL,
    TIMEOUT,
];
/// Of `pods/log`.
pub(super) const LOG: &[Parameter] = &[
    query("container", "string", "Container whose log is read."),
    query("follow", "boolean", "Whether the answer goes on with what is written later."),
    query("insecureSkipTLSVerifyBackend", "boolean", "Accepted and without meaning here."),
    query("limitBytes", "integer", "Most bytes to answer."),
    query("previous", "boolean", "Whether the log of the container before is read."),
    query("sinceSeconds", "integer", "Only lines of the last seconds."),
    query("sinceTime", "string", "Only lines since this time."),
    query("stream", "string", "'All', 'Stdout' or 'Stderr'."),
    query("tailLines", "integer", "Only the last lines."),
    query("timestamps", "boolean", "Whether each line begins with its time."),
];

/// The fields of an options message, as a connection takes them in its query.
pub(super) fn of_message(message: &str) -> Vec<Parameter> {
    let Some(found) = schema::table().by_name(message) else { return Vec::new() };
    let fields = found.fields().iter().filter(|f| !matches!(f.name, "apiVersion" | "kind"));
    fields
        .filter(|f| f.shape != Shape::Map)
        .map(|f| {
            let ty = match f.ty {
                Type::Bool => "boolean",
                Type::Int32 | Type::Int64 => "integer",
                _ => "string",
            };
            query(f.name, ty, "")
        })
        .collect()
}
