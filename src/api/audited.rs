//! Feeds the audit log: a record opens when a request is known to be recorded, learns what happens
//! to it, and closes with the answer's last byte, or when the request is dropped before.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
};
use bytes::{Bytes, BytesMut};
use kabuki_actors::auth::UserInfo;
use kabuki_api::status::Status;
use serde_json::Value;
use time::OffsetDateTime;

use super::call::Call;
use crate::audit::{AuditLog, Body, Event, Level, ObjectRef, Stage, Stages};

/// Addresses a proxy may name; the rest of a longer header is not looked at.
const MAX_SOURCE_IPS: usize = 32;
/// Bytes of a streamed answer that are recorded; of a larger one the body is left out.
const MAX_STREAMED_BYTES: usize = 16 * 1024 * 1024;
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
/// Annotations of what mutating webhooks changed.
const PATCHES: &str = "patch.webhook.admission.k8s.io/";
/// Code recorded for a request that ended without an answer.
const NO_ANSWER: u16 = 500;

/// One request that is recorded. Dropping it before it is finished records that it has no answer.
pub(super) struct Record {
    log: Arc<AuditLog>,
    event: Event,
    omit: Stages,
    long_running: bool,
    closed: bool,
}

impl Record {
    /// Begins to record a request, if the policy says so.
    pub(super) fn open(
        log: &Arc<AuditLog>,
        request: &HttpRequest,
        call: &Call,
        user: Option<&UserInfo>,
        now: OffsetDateTime,
    ) -> Option<Box<Self>> {
        let verdict = log.policy.verdict(user, &call.attributes());
        if verdict.level == Level::None {
            return None;
        }
        let object = call.resource.as_ref().map(|r| ObjectRef {
            resource: r.resource.clone(),
            namespace: r.namespace.clone(),
            name: r.name.clone(),
            api_group: r.group.clone(),
            api_version: r.version.clone(),
            subresource: r.subresource.clone(),
            ..ObjectRef::default()
        });
        let uri = request.uri().path_and_query().map_or("", |pq| pq.as_str());
        let event = Event {
            level: verdict.level,
            id: call.audit_id.to_str().unwrap_or_default().to_owned(),
            stage: Stage::RequestReceived,
            uri: uri.to_owned(),
            verb: call.verb,
            user: user.map_or_else(|| Value::Object(serde_json::Map::new()), UserInfo::to_value),
            impersonated: None,
            source_ips: source_ips(request),
            user_agent: call.user_agent.clone(),
            object,
            kind: call.known_kind(),
            omit_managed_fields: verdict.omit_managed_fields,
            received: call.received.unwrap_or(now),
            at: now,
            code: None,
            failure: None,
            request: None,
            response: None,
            annotations: BTreeMap::new(),
        };
        let long_running = call.is_long_running();
        Some(Box::new(Self {
            log: Arc::clone(log),
            event,
            omit: verdict.omit,
            long_running,
            closed: false,
        }))
    }

    /// The request is known to come from the record's user.
    pub(super) fn received(&self) {
        self.emit(Stage::RequestReceived);
    }

    /// The request is served as that of another user.
    pub(super) fn impersonates(&mut self, user: &UserInfo) {
        self.event.impersonated = Some(user.to_value());
    }

    /// What the authorizer said; `None` is a refusal.
    pub(super) fn decided(&mut self, reason: Option<&str>) {
        let decision = if reason.is_some() { "allow" } else { "forbid" };
        self.event.annotations.insert(DECISION.into(), decision.to_owned());
        self.event.annotations.insert(REASON.into(), reason.unwrap_or_default().to_owned());
    }

    /// Admission said something.
    pub(super) fn annotate(&mut self, annotations: BTreeMap<String, String>) {
        // A webhook's patch shows the object, which this level may not.
        let level = self.event.level;
        let shown = move |key: &String| level >= Level::Request || !key.starts_with(PATCHES);
        let annotations = annotations.into_iter().filter(|(key, _)| shown(key));
        let annotations = annotations.map(|(key, value)| (key.into(), value));
        self.event.annotations.extend(annotations);
    }

    /// The request's body was read.
    pub(super) fn body(&mut self, bytes: &Bytes, content_type: &str) {
        let unnamed = self.event.object.as_ref().is_some_and(|o| o.name.is_empty());
        // A body also names what is created.
        let names = self.event.verb == "create" && unnamed;
        if bytes.is_empty() || !(names || self.event.level >= Level::Request) {
            return;
        }
        let content_type = content_type.to_owned();
        self.event.request = Some(Body { bytes: bytes.clone(), content_type, gzip: false });
    }

    /// The answer is made; records it now, or when its last byte is sent.
    pub(super) fn answered(
        mut self: Box<Self>,
        mut response: HttpResponse,
        failure: Option<&Status>,
    ) -> HttpResponse {
        self.event.code = Some(response.status().as_u16());
        self.event.failure = failure.cloned();
        let header = |name: &str| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
        };
        let gzip = header("content-encoding") == "gzip";
        let content_type = header("content-type").to_owned();
        // What a deletion answers is a Status, which every level shows.
        let wanted = self.event.level >= Level::RequestResponse || self.event.verb == "delete";
        self.event.response = wanted.then(|| Body { content_type, gzip, ..Body::default() });
        let body = std::mem::replace(&mut response, HttpResponse::Ok().finish());
        let (head, body) = body.into_parts();
        let size = body.size();
        match body.try_into_bytes() {
            // Not even an empty body belongs to a 304.
            Ok(_) if size == BodySize::None => {
                self.close();
                head.set_body(BoxBody::new(()))
            }
            Ok(bytes) => {
                if let Some(seen) = &mut self.event.response {
                    seen.bytes = bytes.clone();
                }
                self.close();
                head.set_body(BoxBody::new(bytes))
            }
            Err(body) => {
                if self.long_running {
                    self.event.response = None;
                    self.emit(Stage::ResponseStarted);
                }
                let seen = self.event.response.is_some().then(BytesMut::new);
                head.set_body(BoxBody::new(Tracked { body, seen, record: self }))
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.emit(Stage::ResponseComplete);
    }

    /// Nobody could be authenticated: upstream records that as one event, when it answers.
    pub(super) fn unauthenticated(mut self: Box<Self>, tried: &str, failure: &Status) {
        let mut shown = failure.clone();
        shown.message = format!("Authentication failed, attempted: {tried}");
        self.event.failure = Some(shown);
        self.event.code = Some(failure.code);
        self.closed = true;
        self.emit(Stage::ResponseStarted);
    }

    fn emit(&self, stage: Stage) {
        if self.omit.contains(stage) {
            return;
        }
        let mut event = self.event.clone();
        event.stage = stage;
        event.at = OffsetDateTime::now_utc();
        self.log.sink.send(event);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if self.event.code.is_none() {
            let text = "the request ended before it was answered";
            self.event.failure = Some(Status::internal(text));
            self.event.code = Some(NO_ANSWER);
        }
        let stage = if std::thread::panicking() { Stage::Panic } else { Stage::ResponseComplete };
        self.emit(stage);
    }
}

/// A streamed body that closes its request's record when it ends or is given up.
struct Tracked {
    body: BoxBody,
    /// What passed by, while it is recorded.
    seen: Option<BytesMut>,
    record: Box<Record>,
}

impl MessageBody for Tracked {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        if let (Poll::Ready(Some(Ok(chunk))), Some(seen)) = (&polled, &mut self.seen) {
            if seen.len() + chunk.len() <= MAX_STREAMED_BYTES {
                seen.extend_from_slice(chunk);
            } else {
                self.seen = None;
            }
        }
        polled
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        match (&mut self.record.event.response, self.seen.take()) {
            (Some(response), Some(seen)) => response.bytes = seen.freeze(),
            (response, _) => *response = None,
        }
        self.record.close();
    }
}

/// Where a request came from (apimachinery `pkg/util/net` `SourceIPs`): what proxies say, then who is
/// connected.
fn source_ips(request: &HttpRequest) -> Vec<String> {
    let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let forwarded = text("x-forwarded-for").unwrap_or_default().split(',').take(MAX_SOURCE_IPS);
    let mut found: Vec<IpAddr> = forwarded.filter_map(|ip| ip.trim().parse().ok()).collect();
    let real = text("x-real-ip").and_then(|ip| ip.trim().parse::<IpAddr>().ok());
    if let Some(real) = real
        && !found.contains(&real)
    {
        found.push(real);
    }
    if let Some(peer) = request.peer_addr().map(|a| a.ip().to_canonical())
        && found.last() != Some(&peer)
    {
        found.push(peer);
    }
    found.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::source_ips;

    #[test]
    fn proxies_come_before_the_peer() {
        let request = TestRequest::get()
            .insert_header(("x-forwarded-for", "10.0.0.1, nonsense,10.0.0.2"))
            .insert_header(("x-real-ip", "10.0.0.3"))
            .peer_addr("10.0.0.3:1".parse().unwrap())
            .to_http_request();
        assert_eq!(source_ips(&request), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let direct = TestRequest::get().peer_addr("10.0.0.9:1".parse().unwrap()).to_http_request();
        assert_eq!(source_ips(&direct), ["10.0.0.9"]);
    }
}
