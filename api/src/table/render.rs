//! `Table` and `PartialObjectMetadata(List)` documents, written straight as JSON.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Row, columns, row};
use crate::kind::Kind;

/// Version of `meta.k8s.io` a rendering is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// `meta.k8s.io/v1`.
    #[default]
    V1,
    /// `meta.k8s.io/v1beta1`.
    V1Beta1,
}

impl Version {
    /// The `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What each row carries of its object (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// How a table is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableStyle {
    /// Version of the document.
    pub version: Version,
    /// What rows carry.
    pub include: Include,
    /// Leave the column definitions out: later events of a watch.
    pub without_columns: bool,
}

/// List metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// Revision of the list; empty leaves it out.
    pub resource_version: String,
    /// Continue token; empty at the end.
    pub continue_token: String,
    /// Objects after this page, when known.
    pub remaining: Option<u64>,
}

impl ListMeta {
    fn to_json(&self) -> Value {
        let mut meta = Map::new();
        if !self.resource_version.is_empty() {
            meta.insert("resourceVersion".into(), self.resource_version.as_str().into());
        }
        if !self.continue_token.is_empty() {
            meta.insert("continue".into(), self.continue_token.as_str().into());
        }
        if let Some(remaining) = self.remaining.filter(|n| *n > 0) {
            meta.insert("remainingItemCount".into(), remaining.into());
        }
        Value::Object(meta)
    }
}

/// The object reduced to its metadata.
pub fn partial_metadata(object: &Value, version: Version) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// Writes a `PartialObjectMetadataList`.
pub fn write_partial_list<'a>(
    out: &mut Vec<u8>,
    meta: &ListMeta,
    objects: impl Iterator<Item = &'a Value>,
    version: Version,
) {
    push(out, r#"{"kind":"PartialObjectMetadataList","apiVersion":""#);
    push(out, version.api_version());
    push(out, r#"","metadata":"#);
    write(out, &meta.to_json());
    push(out, r#","items":["#);
    for (index, object) in objects.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_partial(out, object, version);
    }
    push(out, "]}");
}

fn write_partial(out: &mut Vec<u8>, object: &Value, version: Version) {
    push(out, r#"{"kind":"PartialObjectMetadata","apiVersion":""#);
    push(out, version.api_version());
    push(out, r#"","metadata":"#);
    match object.get("metadata") {
        Some(metadata) => write(out, metadata),
        None => push(out, "{}"),
    }
    out.push(b'}');
}

/// Writes a `Table` of the objects, in their order.
pub fn write_table<'a>(
    out: &mut Vec<u8>,
    kind: &Kind,
    meta: &ListMeta,
    objects: impl Iterator<Item = &'a Value>,
    style: TableStyle,
    now: OffsetDateTime,
) {
    write_head(out, kind, &meta.to_json(), style);
    for (index, object) in objects.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_row(out, &row(kind, object, now), object, style);
    }
    push(out, "]}");
}

/// [`write_table`] as a value, for one object: its revision is the table's.
pub fn table(kind: &Kind, object: &Value, style: TableStyle, now: OffsetDateTime) -> Vec<u8> {
    let revision = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let meta = ListMeta {
        resource_version: revision.unwrap_or_default().to_owned(),
        ..ListMeta::default()
    };
    let mut out = Vec::with_capacity(1024);
    write_table(&mut out, kind, &meta, std::iter::once(object), style, now);
    out
}

/// The table of a watch bookmark: one row with nothing but `metadata`.
pub fn table_bookmark(kind: &Kind, metadata: &Value, style: TableStyle) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let revision = metadata.get("resourceVersion").cloned().unwrap_or_default();
    write_head(&mut out, kind, &json!({"resourceVersion": revision}), style);
    let object = json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
    write(&mut out, &json!({"cells": [], "object": object}));
    push(&mut out, "]}");
    out
}

fn write_head(out: &mut Vec<u8>, kind: &Kind, meta: &Value, style: TableStyle) {
    push(out, r#"{"kind":"Table","apiVersion":""#);
    push(out, style.version.api_version());
    push(out, r#"","metadata":"#);
    write(out, meta);
    push(out, r#","columnDefinitions":"#);
    let definitions: Vec<Value> =
        if style.without_columns { Vec::new() } else { definitions(kind) };
    write(out, &Value::Array(definitions));
    push(out, r#","rows":["#);
}

fn definitions(kind: &Kind) -> Vec<Value> {
    if let Some(served) = kind.served() {
        return served.columns.definitions().to_vec();
    }
    columns(kind)
        .iter()
        .map(|c| {
            json!({"name": c.name, "type": c.r#type, "format": c.format,
                "description": c.description, "priority": c.priority})
        })
        .collect()
}

fn write_row(out: &mut Vec<u8>, row: &Row, object: &Value, style: TableStyle) {
    push(out, r#"{"cells":"#);
    write(out, &row.cells);
    if let Some(conditions) = &row.conditions {
        push(out, r#","conditions":"#);
        write(out, conditions);
    }
    push(out, r#","object":"#);
    match style.include {
        Include::None => push(out, "null"),
        Include::Metadata => write_partial(out, object, style.version),
        Include::Object => write(out, object),
    }
    out.push(b'}');
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Values with string keys cannot fail to serialize, and a Vec cannot fail to grow.
    let _ = serde_json::to_writer(out, value);
}
