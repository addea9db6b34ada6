//! Looking into the running cast: `/debug/actors`, orders to actors, `/debug/deadletters`,
//! `/debug/alarms` and `/debug/audit`. Who may is decided by RBAC on these paths, as for any other;
//! the member that got the request decides.
//!
//! With `?node=NAME` another member or a node answers, with `?node=all` everybody (`debug_all`).

use std::io;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use kabuki_actors::{
    kernel::{DebugAnswer, DebugCall, DebugError, Trace},
    link::{LinkStream, Request},
};
use kabuki_api::status::Status;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    accept::Offer, answer, call::Call, debug_all, face::Face, logs::link_status,
    path::percent_decode, peers::Peer,
};

/// Largest answer of another process, bytes.
pub(super) const MAX_REMOTE_BYTES: usize = 32 * 1024 * 1024;
/// Everybody.
const ALL: &str = "all";

/// Whose cast is meant.
pub(super) enum Target {
    /// This process.
    Here,
    /// Another member.
    Member(Peer),
    /// A node, over its link.
    Node(String),
}

/// Serves a path below `/debug`.
pub(super) async fn serve(face: &Face, call: &Call, _body: &Bytes) -> Result<HttpResponse, Status> {
    let order = match call.verb {
        "get" | "head" => false,
        "post" => true,
        _ => return Err(Status::method_not_allowed_here()),
    };
    let (asked, node) = debug_call(call, order);
    if node == ALL {
        if order {
            return Err(Status::bad_request("an order is for one actor: name its node"));
        }
        return debug_all::serve(face, call, &asked).await;
    }
    let target = find(face, &node).await;
    if asked.is_trace() {
        return trace(face, call, &asked, &target).await;
    }
    let document = read(face, call, &asked, &target).await?;
    if asked.wants_text() {
        return Ok(answer::text(200, String::from_utf8_lossy(&document).into_owned()));
    }
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::document(200, document, looks).await)
}

/// The call without the name of the node.
fn debug_call(call: &Call, order: bool) -> (DebugCall, String) {
    let mut query = call.query.first_values();
    let node = query.remove("node").unwrap_or_default();
    let user = call.user.name.clone();
    // Ids may hold characters that a URL may not, such as the # of a second child of one name.
    let path = percent_decode(&call.path, false).unwrap_or_else(|| call.path.clone());
    (DebugCall { order, path, query, user }, node)
}

async fn find(face: &Face, name: &str) -> Target {
    let Some(peers) = &face.peers else {
        return if name.is_empty() { Target::Here } else { Target::Node(name.to_owned()) };
    };
    if name.is_empty() || name == peers.own_name() {
        return Target::Here;
    }
    let others = peers.others().await;
    match others.into_iter().find(|p| p.name == name || p.id.to_string() == name) {
        Some(peer) => Target::Member(peer),
        None => Target::Node(name.to_owned()),
    }
}

/// One document from one process.
pub(super) async fn read(
    face: &Face,
    call: &Call,
    asked: &DebugCall,
    target: &Target,
) -> Result<Bytes, Status> {
    match target {
        Target::Here => match face.kernel.debug(asked).await.map_err(status)? {
            DebugAnswer::Json(document) => Ok(document.into()),
            DebugAnswer::Text(text) => Ok(text.into()),
            DebugAnswer::Trace(_) => Err(Status::bad_request("a trace is a stream")),
        },
        Target::Member(peer) => {
            let peers = face.peers.as_ref().ok_or_else(Status::unknown_resource)?;
            let response = peers.ask(peer, asked, &call.user).await?;
            limited(response.bytes_stream().map(|c| c.map_err(io::Error::other))).await
        }
        Target::Node(node) => {
            let stream = open(face, node, asked).await?;
            limited(ReaderStream::new(stream.take(MAX_REMOTE_BYTES as u64 + 1))).await
        }
    }
}

async fn open(face: &Face, node: &str, asked: &DebugCall) -> Result<LinkStream, Status> {
    let hub = face.link.as_ref().ok_or_else(|| Status::not_implemented("the node link"))?;
    hub.open(node, Request::Debug(asked.clone())).await.map_err(link_status)
}

async fn limited(chunks: impl Stream<Item = io::Result<Bytes>>) -> Result<Bytes, Status> {
    let mut chunks = std::pin::pin!(chunks);
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| Status::unavailable(format!("the answer broke off: {e}")))?;
        if all.len() + chunk.len() > MAX_REMOTE_BYTES {
            return Err(Status::internal(format!("the answer is over {MAX_REMOTE_BYTES} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// Events as they happen, one JSON document or text per line.
async fn trace(
    face: &Face,
    call: &Call,
    asked: &DebugCall,
    target: &Target,
) -> Result<HttpResponse, Status> {
    let lines = match target {
        Target::Here => match face.kernel.debug(asked).await.map_err(status)? {
            DebugAnswer::Trace(trace) => lines(*trace, asked.wants_text()).boxed(),
            _ => return Err(Status::unknown_resource()),
        },
        Target::Member(peer) => {
            let peers = face.peers.as_ref().ok_or_else(Status::unknown_resource)?;
            let response = peers.ask(peer, asked, &call.user).await?;
            response.bytes_stream().map(|c| c.map_err(io::Error::other)).boxed()
        }
        Target::Node(node) => ReaderStream::new(open(face, node, asked).await?).boxed(),
    };
    let stopping = face.stopping.clone();
    let lines = lines.take_until(stopping.cancelled_owned());
    let media = if asked.wants_text() { "text/plain" } else { "application/x-ndjson" };
    Ok(HttpResponse::Ok().content_type(media).streaming(lines))
}

fn lines(trace: Trace, text: bool) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(trace, move |mut trace| async move {
        let line = trace.next_line(text).await?;
        Some((Ok(Bytes::from(line)), trace))
    })
}

fn status(error: DebugError) -> Status {
    match error.code {
        429 => Status::too_many_requests(error.message, 1),
        code => Status::failure(code, &error.reason, error.message),
    }
}
