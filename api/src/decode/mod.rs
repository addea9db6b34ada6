//! Request bodies into objects: JSON, YAML and protobuf, each limited in size and depth.

use serde_json::Value;

use crate::{kind::Kind, status::Status};

/// Largest request body, bytes.
pub const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Deepest nesting of objects and lists.
pub const MAX_DEPTH: usize = 100;

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// Paths of keys that occurred twice in one object; the last value won.
    pub duplicate_fields: Vec<String>,
}

/// Decodes one object. `expected` says which kind the URL means: it fills in a missing
/// `apiVersion`/`kind` and names the message of a protobuf body.
///
/// # Errors
/// 400 for malformed input, 413 beyond [`MAX_BODY_BYTES`].
pub fn decode(_body: &[u8], _media: Media, _expected: &'static Kind) -> Result<Decoded, Status> {
    Err(Status::not_implemented("decoding"))
}

/// Decodes the `DeleteOptions` of a delete; an empty body is empty options.
///
/// # Errors
/// As [`decode`].
pub fn decode_delete_options(_body: &[u8], _media: Media) -> Result<Value, Status> {
    Err(Status::not_implemented("decoding"))
}

/// Decodes a patch body (any JSON value), JSON or YAML.
///
/// # Errors
/// As [`decode`].
pub fn decode_value(_body: &[u8], _media: Media) -> Result<Decoded, Status> {
    Err(Status::not_implemented("decoding"))
}
