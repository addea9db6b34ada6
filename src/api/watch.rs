//! Watches: JSON lines, one chunk per batch of events, or WebSocket frames; bookmarks, and an end.

use std::{collections::VecDeque, io, pin::Pin, time::Duration};

use actix_web::{HttpResponse, web::Payload};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kabuki_actors::registry::{Object, ObjectWatch, WatchEvent};
use kabuki_api::{
    kind::Kind,
    status::Status,
    table::{self, TableStyle, Version},
};
use rand::RngExt;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    accept::{Form, Offer},
    call::Call,
    face::{Face, Place},
    read::detached,
    socket,
};

/// Time between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before the end of a watch its last bookmark is sent.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Watches without `timeoutSeconds` end after a random time between these.
const DEFAULT_TIMEOUT: std::ops::Range<u64> = 1_800..3_600;
/// Longest watch.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// A watch under way, as one HTTP stream.
struct Stream {
    kind: &'static Kind,
    watch: Option<ObjectWatch>,
    form: Form,
    style: TableStyle,
    bookmarks: bool,
    now: fn() -> OffsetDateTime,
    deadline: Instant,
    /// The next bookmark or the deadline, whichever comes first. This and the two below are made
    /// once: a thousand watchers that register anew for every event would queue at shared locks.
    timer: Pin<Box<Sleep>>,
    disconnected: Pin<Box<WaitForCancellationFutureOwned>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Lines that are due before anything else.
    pending: VecDeque<Bytes>,
    _place: Option<Place>,
}

/// Answers a watch.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    payload: Payload,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    let (accepted, _) = call.negotiate(Offer::Watch)?;
    let include = call.include()?;
    let (namespace, name) = call.object_name();
    let mut options = call.query.watch_options(namespace)?;
    if !name.is_empty() {
        options.field_selector = format!("metadata.name={name}");
    }
    let version = match accepted.form {
        Form::Table(version) | Form::Partial(version) | Form::PartialList(version) => version,
        Form::Object => Version::V1,
    };
    let (watch, pending) = match face.registry.watch(kind, &options).await {
        Ok(watch) => (Some(watch), VecDeque::new()),
        // Clients look for an expired watch inside the stream.
        Err(status) if status.is_expired() => (None, VecDeque::from([error_line(&status)])),
        Err(status) => return Err(status),
    };
    let started = Instant::now();
    let deadline = started + timeout(call);
    let stream = Stream {
        kind,
        watch,
        form: accepted.form,
        style: TableStyle { version, include, without_columns: false },
        bookmarks: options.allow_bookmarks,
        now: face.registry.config().now,
        deadline,
        timer: Box::pin(sleep_until(wake_up(started, deadline, options.allow_bookmarks))),
        disconnected: Box::pin(call.connection.clone().cancelled_owned()),
        stopping: Box::pin(face.stopping.clone().cancelled_owned()),
        pending,
        _place: place,
    };
    let body = stream::unfold(stream, |mut stream| async {
        let chunk = stream.next().await?;
        Some((chunk, stream))
    });
    if let Some(accept) = &call.websocket {
        return Ok(socket::answer(accept, Box::pin(body), payload));
    }
    let body = body.map(Ok::<_, io::Error>);
    Ok(HttpResponse::Ok().content_type("application/json").streaming(body))
}

fn timeout(call: &Call) -> Duration {
    let given = call.query.get("timeoutSeconds").parse::<u64>().ok().filter(|s| *s > 0);
    let seconds = given.unwrap_or_else(|| rand::rng().random_range(DEFAULT_TIMEOUT));
    Duration::from_secs(seconds).min(MAX_TIMEOUT)
}

/// The next time something is due: a bookmark every minute and shortly before the end, or the end.
fn wake_up(now: Instant, deadline: Instant, bookmarks: bool) -> Instant {
    let last = deadline.checked_sub(BOOKMARK_BEFORE_END).unwrap_or(deadline);
    if bookmarks && now < last { (now + BOOKMARK_EVERY).min(last) } else { deadline }
}

enum Step {
    Events(Result<Vec<WatchEvent>, Status>),
    Due,
    End,
}

impl Stream {
    /// The next chunk; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some(line);
            }
            let watch = self.watch.as_mut()?;
            let step = tokio::select! {
                biased;
                events = watch.next() => Step::Events(events),
                () = &mut self.disconnected => Step::End,
                () = &mut self.stopping => Step::End,
                () = &mut self.timer => Step::Due,
            };
            match step {
                Step::End => return None,
                Step::Events(Ok(events)) if events.is_empty() => return None,
                Step::Events(Ok(events)) => {
                    let chunk = self.lines(&events);
                    // Reads of a busy kind must not outlive the deadline for ever.
                    if Instant::now() >= self.deadline {
                        self.watch = None;
                    }
                    return Some(chunk);
                }
                Step::Events(Err(status)) => {
                    self.watch = None;
                    return Some(error_line(&status));
                }
                Step::Due => {
                    let now = Instant::now();
                    if now >= self.deadline {
                        return None;
                    }
                    let bookmark = watch.bookmark();
                    self.timer.as_mut().reset(wake_up(now, self.deadline, self.bookmarks));
                    if let Some(bookmark) = bookmark {
                        return Some(self.lines(&[bookmark]));
                    }
                }
            }
        }
    }

    fn lines(&mut self, events: &[WatchEvent]) -> Bytes {
        let mut out = Vec::with_capacity(events.len() * 1024);
        for event in events {
            match self.form {
                Form::Object => event.write_json(self.kind, &mut out),
                Form::Table(_) => self.table_line(event, &mut out),
                Form::Partial(version) | Form::PartialList(version) => {
                    partial_line(event, version, &mut out);
                }
            }
        }
        out.into()
    }

    fn table_line(&mut self, event: &WatchEvent, out: &mut Vec<u8>) {
        let document = match event {
            WatchEvent::Bookmark { revision, initial_events_end } => {
                let metadata = bookmark_metadata(*revision, *initial_events_end);
                table::table_bookmark(self.kind, &metadata, self.style)
            }
            WatchEvent::Added(o) | WatchEvent::Modified(o) | WatchEvent::Deleted(o) => {
                table::table(self.kind, &detached(o), self.style, (self.now)())
            }
        };
        // Later tables need no columns; the client remembers the first ones.
        self.style.without_columns = true;
        line(event.type_name(), &document, out);
    }
}

fn partial_line(event: &WatchEvent, version: Version, out: &mut Vec<u8>) {
    let metadata_of = |o: &Object| table::partial_metadata(&detached(o), version);
    let document = match event {
        WatchEvent::Bookmark { revision, initial_events_end } => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": version.api_version(),
            "metadata": bookmark_metadata(*revision, *initial_events_end),
        }),
        WatchEvent::Added(o) | WatchEvent::Modified(o) | WatchEvent::Deleted(o) => metadata_of(o),
    };
    line(event.type_name(), document.to_string().as_bytes(), out);
}

fn bookmark_metadata(revision: u64, initial_events_end: bool) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_events_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    metadata
}

fn error_line(status: &Status) -> Bytes {
    let mut out = Vec::with_capacity(512);
    line("ERROR", &serde_json::to_vec(status).unwrap_or_default(), &mut out);
    out.into()
}

fn line(name: &str, object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_come_every_minute_and_before_the_end() {
        let start = Instant::now();
        let seconds = |s: u64| Duration::from_secs(s);
        let long = start + seconds(300);
        assert_eq!(wake_up(start, long, true), start + seconds(60));
        assert_eq!(wake_up(start + seconds(250), long, true), start + seconds(298));
        assert_eq!(wake_up(start + seconds(298), long, true), long);
        assert_eq!(wake_up(start, start + seconds(10), true), start + seconds(8));
        assert_eq!(wake_up(start, long, false), long);
    }

    #[test]
    fn errors_are_events() {
        let text = error_line(&Status::too_old(5, 9));
        let event: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    }
}
