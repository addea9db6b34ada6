//! Requests of group versions that extension API servers serve: passed on in the user's name
//! (kube-aggregator `pkg/apiserver/handler_proxy.go`). `merge` shows them in discovery.

mod merge;

use std::{io, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CONNECTION, HeaderMap, HeaderName, UPGRADE},
    },
    web::Payload,
};
use futures_util::{StreamExt, TryStreamExt};
use kabuki_actors::outbound::transport_text;
use kabuki_api::{kind, status::Status};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

pub(super) use self::merge::Merge;
use super::{
    answer,
    call::Call,
    face::{Face, Place},
    pipeline::body,
};
use crate::aggregation::{Aggregator, Extension};

/// Headers that are about one connection, or that would speak for another user.
const KEPT_HERE: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const SPEAKING_FOR: [&str; 2] = ["x-remote-", "impersonate-"];

/// The extension server a request is for: of a path below `/apis/<group>/<version>`, or of its
/// OpenAPI document.
pub(super) fn find(face: &Face, call: &Call) -> Option<(Arc<Aggregator>, Arc<Extension>)> {
    let aggregator = face.extensions.as_ref()?;
    if aggregator.all().is_empty() {
        return None;
    }
    let path = call.path.trim_matches('/');
    let path = path.strip_prefix("openapi/v3/").unwrap_or(path);
    let mut segments = path.split('/');
    if segments.next() != Some("apis") {
        return None;
    }
    let (group, version) = (segments.next()?, segments.next()?);
    // What is built in is never somebody else's.
    if kind::all().iter().any(|k| k.group == group && k.version == version) {
        return None;
    }
    let extension = aggregator.find(group, version)?;
    Some((Arc::clone(aggregator), extension))
}

fn unreachable(text: &str) -> HttpResponse {
    answer::text(503, format!("{text}\n"))
}

/// Passes a request on, and its answer back. A place among the long-running requests is kept until
/// the answer ends.
pub(super) async fn serve(
    call: &Call,
    request: &HttpRequest,
    payload: Payload,
    (aggregator, extension): (Arc<Aggregator>, Arc<Extension>),
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    if !extension.available {
        return Ok(unreachable("service unavailable"));
    }
    let path = request.uri().path_and_query().map_or("/", |pq| pq.as_str());
    let method = http::Method::from_bytes(request.method().as_str().as_bytes());
    let method = method.map_err(Status::internal)?;
    let made = aggregator.request(&extension, method, path, &call.user).await;
    let Ok(mut passed) = made else { return Ok(unreachable("service unavailable")) };
    for (name, value) in request.headers() {
        let name = name.as_str();
        let speaks = SPEAKING_FOR.iter().any(|prefix| name.starts_with(prefix));
        if !speaks && !KEPT_HERE.contains(&name) {
            passed = passed.header(name, value.as_bytes());
        }
    }
    if let Some(peer) = request.peer_addr() {
        passed = passed.header("x-forwarded-for", peer.ip().to_canonical().to_string());
    }
    passed = passed.header("audit-id", call.audit_id.as_bytes());
    let upgrade = upgrade_of(request.headers());
    if let Some(protocol) = &upgrade {
        if !protocol.eq_ignore_ascii_case("websocket") {
            // Of another protocol the HTTP server below hands on no bytes of the client.
            let what = format!("the upgrade to {protocol:?} for an extension API server");
            return Err(Status::not_implemented(&what));
        }
        passed = passed.header("connection", "Upgrade").header("upgrade", protocol.as_str());
        return stream(passed, payload, place).await;
    }
    let body = body(call, payload).await?;
    if !body.is_empty() {
        passed = passed.body(body);
    }
    match passed.send().await {
        Ok(answer) => Ok(respond(answer, place)),
        Err(error) => Ok(failed(&error)),
    }
}

fn failed(error: &reqwest::Error) -> HttpResponse {
    unreachable(&format!("error trying to reach service: {}", transport_text(error)))
}

/// The protocol a client wants to change to.
fn upgrade_of(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let words = text(CONNECTION)?.split(',').map(str::trim);
    let wanted = words.into_iter().any(|w| w.eq_ignore_ascii_case("upgrade"));
    text(UPGRADE).filter(|_| wanted).map(str::to_owned)
}

fn head(answer: &reqwest::Response) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(answer.status().as_u16());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::BAD_GATEWAY));
    for (name, value) in answer.headers() {
        if !KEPT_HERE.contains(&name.as_str()) {
            response.append_header((name.as_str(), value.as_bytes()));
        }
    }
    response
}

fn respond(answer: reqwest::Response, place: Option<Place>) -> HttpResponse {
    let mut response = head(&answer);
    if matches!(answer.status().as_u16(), 204 | 304) {
        return response.finish();
    }
    let length = answer.content_length();
    let bytes = answer.bytes_stream().map_err(io::Error::other);
    // An empty piece would stall an HTTP/2 stream.
    let bytes = bytes.try_filter(|piece| std::future::ready(!piece.is_empty()));
    let bytes = bytes.inspect(move |_| {
        let _kept = &place;
    });
    if let Some(length) = length {
        response.no_chunking(length);
    }
    response.streaming(bytes)
}

/// A request that becomes a stream both ways.
async fn stream(
    passed: reqwest::RequestBuilder,
    mut payload: Payload,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    let answer = match passed.send().await {
        Ok(answer) => answer,
        Err(error) => return Ok(failed(&error)),
    };
    if answer.status().as_u16() != 101 {
        return Ok(respond(answer, place));
    }
    let mut response = head(&answer);
    let protocol = answer.headers().get("upgrade").and_then(|v| v.to_str().ok());
    let protocol = protocol.unwrap_or_default().to_owned();
    let upgraded = answer.upgrade().await.map_err(Status::internal)?;
    let (read, mut write) = tokio::io::split(upgraded);
    actix_rt::spawn(async move {
        while let Some(Ok(chunk)) = payload.next().await {
            if write.write_all(&chunk).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
        // The other side sees the end, and ends its own.
        let _ = write.shutdown().await;
    });
    let bytes = ReaderStream::new(read).inspect(move |_| {
        let _kept = &place;
    });
    response.upgrade(protocol.as_str()).insert_header((CONNECTION, "Upgrade"));
    response.insert_header((UPGRADE, protocol));
    Ok(response.streaming(bytes))
}
