//! The way of a request: authenticate, limit, authorize, dispatch, answer, count.

use std::time::{Duration, Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        ConnectionType, Version,
        header::{HeaderName, HeaderValue},
    },
    web::{Data, Payload},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use kabuki_api::{
    decode::MAX_BODY_BYTES,
    kind::{self, Kind},
    status::Status,
};

use super::{
    answer,
    audited::Record,
    authn::{self, credentials},
    call::Call,
    connection::is_outlived,
    documents, extension,
    extension::Merge,
    face::{Face, Load, Place},
    read, reviews, subresource, watch, write,
};

/// Longest text of one `Warning` header, and of all together (apiserver `pkg/warning`).
const MAX_WARNING_CHARS: usize = 256;
const MAX_WARNINGS_CHARS: usize = 4_096;

/// Seconds after which a client whose request met the end of this server may come again.
const STOPPING_RETRY_SECONDS: i32 = 1;

/// Serves one request of the API.
pub(super) async fn entry(
    request: HttpRequest,
    payload: Payload,
    face: Data<Face>,
) -> HttpResponse {
    let started = Instant::now();
    let mut call = Call::of(&request, &face.registry);
    let outcome = serve(&face, &request, &mut call, payload).await;
    let (mut response, failure) = match outcome {
        Ok(response) => (response, None),
        Err(status) => (answer::failure(&status, call.error_looks()), Some(status)),
    };
    decorate(&call, &mut response);
    let (warnings, annotations) = call.notes.take();
    warn(&mut response, &warnings);
    call.record(|record| record.annotate(annotations));
    if let Some(record) = call.record.lock().take() {
        response = record.answered(response, failure.as_ref());
    }
    let draining = face.draining.is_cancelled() && request.version() < Version::HTTP_2;
    if draining || is_outlived(&request, face.now()) {
        // HTTP/1.1 clients then dial anew, and most likely another member if this one drains; an
        // HTTP/2 client must do so by itself.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    face.metrics.request(&call, response.status().as_u16(), started.elapsed());
    response
}

async fn serve(
    face: &Data<Face>,
    request: &HttpRequest,
    call: &mut Call,
    payload: Payload,
) -> Result<HttpResponse, Status> {
    if face.stopping.is_cancelled() {
        // On a connection from before; nothing was done, so that every client may try again.
        let text = "this member is shutting down, please try again";
        return Err(Status::unavailable(text).with_retry_after(STOPPING_RETRY_SECONDS));
    }
    identify(face, request, call).await?;
    let load = match (call.is_long_running(), call.is_change()) {
        (true, _) => Load::LongRunning,
        (false, true) => Load::Changing,
        (false, false) => Load::Reading,
    };
    let place = face.enter(load)?;
    // Held until there is an answer; of a watch, until it has begun.
    let _seat = match face.flow.enter(&face.registry, call).await {
        Ok(seat) => seat,
        Err(refused) => return Ok(refused),
    };
    authorize(face, call)?;
    if call.resource.is_some() && call.verb.is_empty() {
        return Err(Status::method_not_allowed_here());
    }
    if let Some(extension) = extension::find(face, call) {
        let limit = if load == Load::LongRunning { Duration::MAX } else { call.timeout() };
        let passed = extension::serve(call, request, payload, extension, Some(place));
        return match tokio::time::timeout(limit, passed).await {
            Ok(outcome) => outcome,
            Err(_) => Err(out_of_time(call)),
        };
    }
    if load == Load::LongRunning {
        return dispatch(face, call, payload, Some(place)).await;
    }
    let merge = Merge::of(face, call);
    let call = &*call;
    let work = async {
        let answered = dispatch(face, call, payload, None).await?;
        match merge {
            Some(merge) => merge.apply(answered).await,
            None => Ok(answered),
        }
    };
    match tokio::time::timeout(call.timeout(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(out_of_time(call)),
    }
}

fn out_of_time(call: &Call) -> Status {
    let text = "request did not complete within the allotted timeout";
    // A change may still happen; only what changes nothing may simply be sent again.
    Status::timeout(text, i32::from(!call.is_change()))
}

/// Finds out who asks and as whom, and begins to record it.
async fn identify(face: &Data<Face>, request: &HttpRequest, call: &mut Call) -> Result<(), Status> {
    let Some(log) = &face.audit else {
        call.user = authn::authenticate(face, request).await?;
        return Ok(());
    };
    call.received = Some(face.now());
    let user = match credentials(face, request).await {
        Ok(user) => user,
        Err(status) => {
            if let Some(record) = Record::open(log, request, call, None, face.now()) {
                record.unauthenticated(authn::tried(request), &status);
            }
            return Err(status);
        }
    };
    let record = Record::open(log, request, call, Some(&user), face.now());
    if let Some(record) = &record {
        record.received();
    }
    *call.record.lock() = record;
    call.user = match authn::impersonated(face, request, &user)? {
        None => user,
        Some(other) => {
            call.record(|record| record.impersonates(&other));
            other
        }
    };
    Ok(())
}

fn authorize(face: &Face, call: &Call) -> Result<(), Status> {
    let attributes = call.attributes();
    let reason = face.authorizer.decide(&call.user, &attributes);
    call.record(|record| record.decided(reason.as_deref()));
    match reason {
        Some(_) => Ok(()),
        None => Err(face.authorizer.refusal(&call.user, &attributes)),
    }
}

async fn dispatch(
    face: &Data<Face>,
    call: &Call,
    payload: Payload,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    if call.resource.is_none() {
        let body = body(call, payload).await?;
        return documents::serve(face, call, &body).await;
    }
    let kind = call.kind(&face.registry).await?;
    let mut response = dispatch_kind(face, call, kind, payload, place).await?;
    if let Some(warning) = kind.served().and_then(|served| served.warning.clone()) {
        warn(&mut response, &[warning]);
    }
    Ok(response)
}

async fn dispatch_kind(
    face: &Data<Face>,
    call: &Call,
    kind: &'static Kind,
    payload: Payload,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    let Some(resource) = &call.resource else { return Err(Status::unknown_resource()) };
    if !resource.subresource.is_empty() {
        return subresource::serve(face, call, kind, payload, place).await;
    }
    check_verb(call, kind)?;
    match call.verb {
        "get" => read::get(face, call, kind).await,
        "list" => read::list(face, call, kind).await,
        "watch" => watch::serve(face, call, kind, payload, place).await,
        "create" if !kind.is_stored() => {
            let body = body(call, payload).await?;
            reviews::serve(face, call, kind, body).await
        }
        "create" => write::create(face, call, kind, body(call, payload).await?).await,
        "update" => write::update(face, call, kind, body(call, payload).await?).await,
        "patch" => write::patch(face, call, kind, body(call, payload).await?).await,
        "delete" => write::delete(face, call, kind, body(call, payload).await?).await,
        _ => write::delete_collection(face, call, kind, body(call, payload).await?).await,
    }
}

fn check_verb(call: &Call, kind: &'static Kind) -> Result<(), Status> {
    if !kind.has_verb(call.verb) {
        return Err(Status::method_not_allowed(kind, call.verb));
    }
    let Some(resource) = &call.resource else { return Ok(()) };
    let named = !resource.name.is_empty();
    let without_namespace = kind.namespaced && resource.namespace.is_empty();
    let fits = match call.verb {
        "create" => !named && !without_namespace,
        "get" | "update" | "patch" | "delete" => named,
        "deletecollection" => !without_namespace,
        _ => true,
    };
    if fits { Ok(()) } else { Err(Status::method_not_allowed_here()) }
}

/// Reads a body of at most [`MAX_BODY_BYTES`].
pub(super) async fn body(call: &Call, payload: Payload) -> Result<Bytes, Status> {
    let body = read_body(payload).await?;
    call.record(|record| record.body(&body, &call.content_type));
    Ok(body)
}

async fn read_body(mut payload: Payload) -> Result<Bytes, Status> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|e| Status::bad_request(format!("cannot read the request body: {e}")))?;
        if all.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > MAX_BODY_BYTES {
            return Err(Status::too_large(format!("limit is {MAX_BODY_BYTES}")));
        }
        match first.take() {
            // Most bodies are one chunk, which need not be copied.
            None if all.is_empty() => first = Some(chunk),
            Some(held) => {
                all.extend_from_slice(&held);
                all.extend_from_slice(&chunk);
            }
            None => all.extend_from_slice(&chunk),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

fn decorate(call: &Call, response: &mut HttpResponse) {
    let id = HeaderName::from_static("audit-id");
    response.headers_mut().insert(id, call.audit_id.clone());
    if let Some(flow) = &call.flow {
        flow.put(response);
    }
    let named = call.resource.as_ref();
    if let Some(text) = named.and_then(|r| kind::deprecation(&r.group, &r.version, &r.resource)) {
        warn(response, &[text.to_owned()]);
    }
    if !response.headers().contains_key("cache-control") {
        super::header(response, "cache-control", "no-cache, private");
    }
}

/// Adds `Warning` headers, as upstream's `filters/warning.go`: whole while all of them fit, else each
/// cut, and as many as fit.
pub(super) fn warn(response: &mut HttpResponse, warnings: &[String]) {
    let texts: Vec<String> =
        warnings.iter().map(|t| t.chars().filter(|c| !c.is_control()).collect()).collect();
    let all: usize = texts.iter().map(|text| text.chars().count()).sum();
    let longest = if all <= MAX_WARNINGS_CHARS { usize::MAX } else { MAX_WARNING_CHARS };
    let mut total = 0;
    for text in texts {
        if total >= MAX_WARNINGS_CHARS {
            return;
        }
        let text: String = text.chars().take(longest).collect();
        total += text.chars().count();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(HeaderName::from_static("warning"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded_and_quoted() {
        let mut response = HttpResponse::Ok().finish();
        let many: Vec<String> = (0..20).map(|_| "é\"".repeat(200)).collect();
        warn(&mut response, &many);
        let all: Vec<_> = response.headers().get_all("warning").collect();
        assert_eq!(all.len(), MAX_WARNINGS_CHARS / MAX_WARNING_CHARS);
        let mut response = HttpResponse::Ok().finish();
        warn(&mut response, &["unknown field \"spec.x\"".to_owned()]);
        let value = response.headers().get("warning").unwrap();
        assert_eq!(value.to_str().unwrap(), r#"299 - "unknown field \"spec.x\"""#);
        let mut response = HttpResponse::Ok().finish();
        warn(&mut response, &["x".repeat(MAX_WARNINGS_CHARS)]);
        let value = response.headers().get("warning").unwrap();
        assert_eq!(value.len(), MAX_WARNINGS_CHARS + r#"299 - """#.len(), "whole while it fits");
    }
}
