//! The metadata of objects whose rest has a schema of its own (custom resources).

use serde_json::Value;

use super::{Message, normalise, table, types, unknown};
use crate::{kind::Kind, status::Status};

/// The message of the metadata of any object.
const OBJECT_META: &str = "meta.v1.ObjectMeta";

fn message() -> Option<&'static Message> {
    table().by_name(OBJECT_META)
}

/// Checks the JSON types of the metadata.
///
/// # Errors
/// 400 with the text of Go's decoder.
pub(crate) fn check(kind: &Kind, object: &Value) -> Result<(), Status> {
    let (Some(message), Some(metadata)) = (message(), object.get("metadata")) else {
        return Ok(());
    };
    types::check_below(message, metadata, "metadata")
        .map_err(|detail| Status::cannot_be_handled(kind.version, kind.kind, &detail))
}

/// Brings the metadata into its stored form; answers the paths of fields that do not exist.
pub(crate) fn prune(object: &mut Value) -> Vec<String> {
    let (Some(message), Some(metadata)) = (message(), object.get_mut("metadata")) else {
        return Vec::new();
    };
    let unknown = unknown::below(message, metadata, "metadata");
    normalise::below(message, metadata);
    unknown
}
