//! From documents to HTTP answers: format, indentation, compression.

use std::io::Write;

use actix_web::{HttpResponse, http::StatusCode};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use kabuki_actors::registry::ListResult;
use kabuki_api::status::Status;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{accept::Format, pretty};

/// Documents above this many bytes are compressed when the client asks for it.
pub const GZIP_ABOVE_BYTES: usize = 128 * 1024;
/// Documents above this many bytes are converted outside the HTTP workers.
const OFFLOAD_ABOVE_BYTES: usize = 64 * 1024;
/// Pieces of a compressed list waiting for the client.
const LIST_PIECES: usize = 4;

/// How an answer is written, apart from its rendering.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks {
    /// Serialization.
    pub format: Format,
    /// Indented JSON.
    pub pretty: bool,
    /// Whether the client takes gzip.
    pub gzip: bool,
}

impl Looks {
    fn is_plain(self) -> bool {
        self.format == Format::Json && !self.pretty
    }

    fn content_type(self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Yaml => "application/yaml",
        }
    }

    /// Applies format and indentation to a JSON document.
    fn convert(self, json: Bytes) -> Bytes {
        match self.format {
            Format::Json if self.pretty => pretty::indent(&json).into(),
            Format::Json => json,
            Format::Yaml => to_yaml(&json),
        }
    }
}

fn to_yaml(json: &[u8]) -> Bytes {
    // JSON is YAML: where the conversion fails, the JSON text is still a right answer.
    serde_json::from_slice::<Value>(json)
        .ok()
        .and_then(|value| serde_yaml::to_string(&value).ok())
        .map_or_else(|| Bytes::copy_from_slice(json), Bytes::from)
}

/// An answer from a JSON document.
pub async fn document(code: u16, json: Bytes, looks: Looks) -> HttpResponse {
    let compress = looks.gzip && json.len() > GZIP_ABOVE_BYTES;
    if json.len() <= OFFLOAD_ABOVE_BYTES || (looks.is_plain() && !compress) {
        return respond(code, looks.convert(json), looks, false);
    }
    let work = move || {
        let body = looks.convert(json);
        if compress { (gzip(&body), true) } else { (body, false) }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok((body, compressed)) => respond(code, body, looks, compressed),
        Err(error) => failure(&Status::internal(error), Looks::default()),
    }
}

/// An answer from a value.
pub async fn value(code: u16, value: &Value, looks: Looks) -> HttpResponse {
    document(code, value.to_string().into(), looks).await
}

/// An error answer; its code is the status's.
pub fn failure(status: &Status, looks: Looks) -> HttpResponse {
    let json = serde_json::to_vec(status).unwrap_or_default();
    let code = if status.code == 0 { 500 } else { status.code };
    let mut response = respond(code, looks.convert(json.into()), looks, false);
    if let Some(seconds) = status.retry_after() {
        super::header(&mut response, "retry-after", &seconds.to_string());
    }
    response
}

fn respond(code: u16, body: Bytes, looks: Looks, compressed: bool) -> HttpResponse {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(code);
    builder.content_type(looks.content_type());
    if compressed {
        builder.insert_header(("content-encoding", "gzip"));
        builder.insert_header(("vary", "Accept-Encoding"));
    }
    builder.body(body)
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// A list, streamed from the encoded bytes of its items: nothing is decoded and no more than a
/// few pieces exist at a time. Formats other than plain JSON are made as one document.
pub async fn list(list: ListResult, looks: Looks) -> HttpResponse {
    let size: usize = list.items.iter().map(|o| o.record().value.len()).sum();
    if size <= OFFLOAD_ABOVE_BYTES {
        return document(200, list.encoded(), looks).await;
    }
    if !looks.is_plain() {
        return match tokio::task::spawn_blocking(move || list.encoded()).await {
            Ok(json) => document(200, json, looks).await,
            Err(error) => failure(&Status::internal(error), Looks::default()),
        };
    }
    let mut builder = HttpResponse::Ok();
    builder.content_type(looks.content_type());
    if !(looks.gzip && size > GZIP_ABOVE_BYTES) {
        let pieces = list.chunks().map(Ok::<_, std::io::Error>);
        return builder.streaming(stream::iter(pieces));
    }
    builder.insert_header(("content-encoding", "gzip"));
    builder.insert_header(("vary", "Accept-Encoding"));
    let (sender, receiver) = mpsc::channel(LIST_PIECES);
    tokio::task::spawn_blocking(move || compress_list(list, &sender));
    builder.streaming(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), receiver))
    }))
}

fn compress_list(list: ListResult, sender: &mpsc::Sender<Bytes>) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for chunk in list.chunks() {
        let _ = encoder.write_all(&chunk);
        let piece = std::mem::take(encoder.get_mut());
        // An empty piece would stall an HTTP/2 stream, and a gone client needs no more.
        if !piece.is_empty() && sender.blocking_send(piece.into()).is_err() {
            return;
        }
    }
    let _ = sender.blocking_send(encoder.finish().unwrap_or_default().into());
}

/// A text answer.
pub fn text(code: u16, text: impl Into<String>) -> HttpResponse {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(code).content_type("text/plain; charset=utf-8").body(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let json = Bytes::from_static(br#"{"a":[1]}"#);
        let yaml = Looks { format: Format::Yaml, ..Looks::default() };
        assert_eq!(yaml.convert(json.clone()), "a:\n- 1\n");
        let pretty = Looks { pretty: true, ..Looks::default() };
        assert_eq!(pretty.convert(json.clone()), "{\n  \"a\": [\n    1\n  ]\n}\n");
        assert_eq!(Looks::default().convert(json.clone()), json);
    }

    #[tokio::test]
    async fn large_documents_are_compressed_on_request() {
        let json = Bytes::from(format!("\"{}\"", "x".repeat(GZIP_ABOVE_BYTES)));
        let looks = Looks { gzip: true, ..Looks::default() };
        let response = document(200, json.clone(), looks).await;
        assert_eq!(response.headers().get("content-encoding").unwrap(), "gzip");
        let response = document(200, json, Looks::default()).await;
        assert!(response.headers().get("content-encoding").is_none());
    }

    #[test]
    fn failures_carry_retry_after() {
        let status = Status::too_many_requests("later", 1);
        let response = failure(&status, Looks::default());
        assert_eq!(response.status().as_u16(), 429);
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
    }
}
