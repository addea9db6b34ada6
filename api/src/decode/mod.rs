//! Request bodies into objects: JSON, YAML and protobuf, each limited in size, depth and number of
//! values before anything is built from it.

mod duplicates;
mod go_json;
mod json;
mod plain;
mod protobuf;
mod source;
mod tree;
mod wire;
mod yaml;

pub use duplicates::Duplicates;
use serde_json::Value;

use crate::{
    kind::{self, Kind},
    status::Status,
    text::quote,
};

/// Largest request body, bytes.
pub const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Deepest nesting of objects and lists.
pub const MAX_DEPTH: usize = 100;
/// Bytes of a bad body repeated in the error.
const SUMMARY_BYTES: usize = 30;

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

impl Media {
    /// From a `Content-Type` header, parameters ignored; absent means JSON.
    pub fn from_content_type(header: &str) -> Option<Self> {
        match header.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "" | "application/json" | "*/*" => Some(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// Keys that occurred twice in one object; the last value won.
    pub duplicates: Duplicates,
}

/// Decodes one object. `expected` says which kind the URL means: it fills in a missing
/// `apiVersion`/`kind`, and other values of the two are refused.
///
/// Field types are not checked here (see [`crate::schema::check_types`]) but for protobuf, whose
/// wire form says them.
///
/// # Errors
/// 400 for malformed input, 413 beyond [`MAX_BODY_BYTES`].
pub fn decode(body: &[u8], media: Media, expected: &'static Kind) -> Result<Decoded, Status> {
    check_size(body)?;
    let unrecognised = |detail: &str| unrecognised(expected, detail, body);
    if media == Media::Protobuf {
        let object = protobuf::decode(body, expected)?;
        return Ok(Decoded { object, duplicates: Duplicates::default() });
    }
    let mut decoded = match media {
        Media::Yaml => yaml::decode(body).map_err(|e| unrecognised(&e))?,
        _ => json::decode(body).map_err(|e| {
            unrecognised(&format!("couldn't get version/kind; json parse error: {e}"))
        })?,
    };
    check_type(&mut decoded.object, expected, body)?;
    Ok(decoded)
}

/// Decodes the `DeleteOptions` of a delete; an empty body is empty options. Any `apiVersion` is
/// taken, as upstream does.
///
/// # Errors
/// As [`decode`].
pub fn decode_delete_options(body: &[u8], media: Media) -> Result<Value, Status> {
    check_size(body)?;
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let expected = kind::DELETE_OPTIONS;
    let object = match media {
        Media::Protobuf => protobuf::decode(body, expected)?,
        Media::Yaml => yaml::decode(body).map_err(|e| unrecognised(expected, &e, body))?.object,
        Media::Json => json::decode(body).map_err(|e| unrecognised(expected, &e, body))?.object,
    };
    let kind = object["kind"].as_str().unwrap_or("DeleteOptions");
    if !object.is_object() || kind != expected.kind {
        let detail = format!("expected kind DeleteOptions, got {}", quote(kind));
        return Err(unrecognised(expected, &detail, body));
    }
    crate::schema::check_types(expected, &object)?;
    Ok(object)
}

/// Decodes a patch body: any JSON value, written as JSON or YAML.
///
/// # Errors
/// As [`decode`]; 415 for protobuf.
pub fn decode_value(body: &[u8], media: Media) -> Result<Decoded, Status> {
    check_size(body)?;
    match media {
        Media::Json => json::decode(body)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {e}"))),
        Media::Yaml => {
            yaml::decode(body).map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))
        }
        Media::Protobuf => Err(Status::unsupported_media(&[])),
    }
}

fn check_size(body: &[u8]) -> Result<(), Status> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Status::too_large(format!("limit is {MAX_BODY_BYTES}")));
    }
    Ok(())
}

/// Upstream's text for a body that is no object at all.
fn unrecognised(expected: &Kind, detail: &str, body: &[u8]) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {detail} ({})",
        expected.kind,
        summary(body)
    ))
}

fn summary(body: &[u8]) -> String {
    let shown = &body[..body.len().min(SUMMARY_BYTES)];
    let more = if body.len() > SUMMARY_BYTES { " ..." } else { "" };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{more}", hex::encode(shown)),
    }
}

/// The type upstream reads first, as Go prints it.
const TYPE_META: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Fills in `apiVersion` and `kind`, or refuses those of another kind.
fn check_type(object: &mut Value, expected: &Kind, body: &[u8]) -> Result<(), Status> {
    let refuse = |detail: &str| {
        let detail =
            format!("couldn't get version/kind; json parse error: json: cannot unmarshal {detail}");
        Err(unrecognised(expected, &detail, body))
    };
    let found = json_type(object);
    let Value::Object(map) = object else {
        return refuse(&format!("{found} into Go value of type {TYPE_META}"));
    };
    let text = |field: &str| match map.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(s)) => Ok(s.clone()),
        Some(other) => {
            let found = json_type(other);
            refuse(&format!("{found} into Go struct field .{field} of type string"))
                .map(|()| String::new())
        }
    };
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    let wanted = expected.api_version();
    if !version.is_empty() && version != wanted {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        let version = expected.version;
        return Err(Status::bad_request(format!(
            "{kind} in version {} cannot be handled as a {}: the kind in the data ({kind}) does not match the expected kind ({})",
            quote(version),
            expected.kind,
            expected.kind
        )));
    }
    map.insert("apiVersion".into(), wanted.into());
    map.insert("kind".into(), expected.kind.into());
    Ok(())
}

#[cfg(test)]
mod tests;
