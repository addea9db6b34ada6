//! `/openapi/v2` and `/openapi/v3` (kube-openapi `pkg/handler`, `pkg/handler3`).
//!
//! Documents are made when they are asked for and kept compressed, within a limit; only their hashes
//! stay. Version 3 is JSON only: every client that knows it takes JSON.

mod cache;
mod describe;
mod make;

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, http::StatusCode};
use bytes::Bytes;
use kabuki_api::{kind::Kind, openapi, status::Status};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use self::{cache::Cache, make::Document};
use super::{accept, call::Call, documents::not_found, face::Face};

/// Media type of an OpenAPI v2 document as protobuf, as it must be answered: `@` in it would make
/// clients fail.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The same as clients ask for it.
const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// How long a document with its hash in the URL stays true.
const IMMUTABLE_FOR: time::Duration = time::Duration::days(365);

/// Name of the document of version 2 in the cache; those of version 3 are paths.
const V2_JSON: &str = "v2.json";
const V2_BINARY: &str = "v2.protobuf";

/// The documents made last. Held while one is made, so that there is never more than one in the
/// making.
static CACHE: Mutex<Cache> = Mutex::const_new(Cache::new());
/// The hash of every document of version 3 that is about kinds of the table alone.
static HASHES: OnceCell<BTreeMap<String, String>> = OnceCell::const_new();

/// What is known of documents with custom kinds in them, at one revision of the definitions.
#[derive(Default)]
pub(super) struct Custom(Mutex<Known>);

struct Known {
    revision: u64,
    hashes: Option<BTreeMap<String, String>>,
    cache: Cache,
}

impl Default for Known {
    fn default() -> Self {
        Self { revision: 0, hashes: None, cache: Cache::new() }
    }
}

impl Custom {
    /// The custom kinds, and what is known of their documents.
    async fn at(&self, face: &Face) -> (Vec<&'static Kind>, MutexGuard<'_, Known>) {
        let mut known = self.0.lock().await;
        let definitions = face.registry.definitions();
        if known.revision != definitions.revision() {
            *known = Known { revision: definitions.revision(), ..Known::default() };
        }
        let kinds = definitions.all().flat_map(|d| d.kinds().iter().copied()).collect();
        (kinds, known)
    }
}

/// Serves what is below `/openapi/`.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    segments: &[&str],
) -> Result<HttpResponse, Status> {
    match segments {
        ["v2"] => v2(face, call).await,
        ["v3"] => index(face, call).await,
        ["v3", document @ ..] => v3(face, call, &document.join("/")).await,
        _ => Ok(not_found()),
    }
}

async fn v2(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let asked = [V2_PROTOBUF_ASKED, V2_PROTOBUF, "application/json"];
    let (name, media) = match accept::first_of(&call.accept, &asked)? {
        "application/json" => (V2_JSON, "application/json"),
        _ => (V2_BINARY, V2_PROTOBUF),
    };
    let Some(document) = document(face, name).await? else { return Ok(not_found()) };
    answer(call, &document, media).await
}

/// Which documents there are, each with its hash: clients ask only for those that changed.
async fn index(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    accept::first_of(&call.accept, &["application/json"])?;
    let mut hashes = hashes().await?.clone();
    hashes.extend(custom_hashes(face).await?);
    let paths: BTreeMap<&String, Value> = hashes
        .iter()
        .map(|(name, hash)| {
            let url = format!("/openapi/v3/{name}?hash={hash}");
            (name, json!({"serverRelativeURL": url}))
        })
        .collect();
    let text = json!({"paths": paths}).to_string();
    let document = Document::of(text.as_bytes()).map_err(Status::internal)?;
    answer(call, &document, "application/json").await
}

async fn v3(face: &Face, call: &Call, name: &str) -> Result<HttpResponse, Status> {
    accept::first_of(&call.accept, &["application/json"])?;
    let hash = match hashes().await?.get(name) {
        Some(hash) => hash.clone(),
        None => match custom_hashes(face).await?.remove(name) {
            Some(hash) => hash,
            None => return Ok(not_found()),
        },
    };
    let asked = call.query.get("hash");
    if !asked.is_empty() && *asked != hash {
        let mut response = HttpResponse::build(StatusCode::MOVED_PERMANENTLY).finish();
        let location = format!("/openapi/v3/{name}?hash={hash}");
        super::header(&mut response, "location", &location);
        return Ok(response);
    }
    let Some(document) = document(face, name).await? else { return Ok(not_found()) };
    let mut response = answer(call, &document, "application/json").await?;
    if !asked.is_empty() {
        super::header(&mut response, "cache-control", "public, immutable");
        if let Some(expires) = http_date(face.now() + IMMUTABLE_FOR) {
            super::header(&mut response, "expires", &expires);
        }
    }
    Ok(response)
}

/// As RFC 9110 wants it.
fn http_date(at: OffsetDateTime) -> Option<String> {
    let text = at.to_offset(time::UtcOffset::UTC).format(&Rfc2822).ok()?;
    Some(text.replace("+0000", "GMT"))
}

async fn hashes() -> Result<&'static BTreeMap<String, String>, Status> {
    HASHES
        .get_or_try_init(|| async {
            let _alone = CACHE.lock().await;
            blocking(|| make::hashes(openapi::documents(&[]), &[])).await
        })
        .await
}

/// The hashes of the documents that are about custom kinds.
async fn custom_hashes(face: &Face) -> Result<BTreeMap<String, String>, Status> {
    let (kinds, mut known) = face.openapi.at(face).await;
    if kinds.is_empty() {
        return Ok(BTreeMap::new());
    }
    if let Some(hashes) = &known.hashes {
        return Ok(hashes.clone());
    }
    let own: BTreeSet<String> = openapi::documents(&[]).into_iter().collect();
    let hashes = blocking(move || {
        let mut names = openapi::documents(&kinds);
        names.retain(|name| !own.contains(name));
        make::hashes(names, &kinds)
    })
    .await?;
    known.hashes = Some(hashes.clone());
    Ok(hashes)
}

/// A document from a cache, or made now. `None` if there is none of this name.
async fn document(face: &Face, name: &str) -> Result<Option<Document>, Status> {
    let (kinds, mut known) = face.openapi.at(face).await;
    let is_v2 = matches!(name, V2_JSON | V2_BINARY);
    if kinds.is_empty() || (!is_v2 && hashes().await?.contains_key(name)) {
        drop(known);
        return cached(&mut *CACHE.lock().await, name, Vec::new()).await;
    }
    cached(&mut known.cache, name, kinds).await
}

async fn cached(
    cache: &mut Cache,
    name: &str,
    kinds: Vec<&'static Kind>,
) -> Result<Option<Document>, Status> {
    if let Some(found) = cache.get(name) {
        return Ok(Some(found));
    }
    let wanted = name.to_owned();
    let made = blocking(move || match wanted.as_str() {
        V2_JSON => make::v2_json(&kinds).map(Some),
        V2_BINARY => make::v2_protobuf(&kinds).map(Some),
        other => make::v3(other, &kinds),
    })
    .await?;
    if let Some(made) = &made {
        cache.put(name, made.clone());
    }
    Ok(made)
}

/// Runs work that takes milliseconds outside the HTTP workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(Status::internal)?.map_err(Status::internal)
}

async fn answer(call: &Call, document: &Document, media: &str) -> Result<HttpResponse, Status> {
    let mut response = if accept::matches_etag(&call.if_none_match, &document.etag) {
        HttpResponse::NotModified().finish()
    } else if call.gzip {
        let mut response = HttpResponse::Ok().body(document.compressed.clone());
        super::header(&mut response, "content-encoding", "gzip");
        response
    } else {
        let document = document.clone();
        let body: Bytes = blocking(move || document.plain()).await?;
        HttpResponse::Ok().body(body)
    };
    super::header(&mut response, "content-type", media);
    super::header(&mut response, "etag", &document.etag);
    super::header(&mut response, "vary", "Accept, Accept-Encoding");
    Ok(response)
}

/// The paths of all documents, for the root document.
pub(super) fn paths(face: &Face) -> Vec<String> {
    let definitions = face.registry.definitions();
    let kinds: Vec<_> = definitions.all().flat_map(|d| d.kinds().iter().copied()).collect();
    let documents =
        openapi::documents(&kinds).into_iter().map(|name| format!("/openapi/v3/{name}"));
    ["/openapi/v2", "/openapi/v3"].into_iter().map(str::to_owned).chain(documents).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_http_dates() {
        let at = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(http_date(at).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[tokio::test]
    async fn hashes_are_those_of_the_documents() {
        let hashes = hashes().await.unwrap();
        for name in ["api/v1", "apis/apps", "apis/apps/v1", "version"] {
            let mut cache = Cache::new();
            let document = cached(&mut cache, name, Vec::new()).await.unwrap().unwrap();
            assert_eq!(document.etag, format!("\"{}\"", hashes[name]), "{name}");
        }
        assert!(cached(&mut Cache::new(), "apis/nope/v1", Vec::new()).await.unwrap().is_none());
    }
}
