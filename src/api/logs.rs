//! The `pods/log` subresource: checks the options, finds the container, and passes bytes on.

use std::{io, sync::Arc};

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use kabuki_actors::link::{Hub, LinkError, LogRequest, Request};
use kabuki_api::{kind::POD, status::Status, validate::FieldError};
use serde_json::Value;
use tokio_util::{io::ReaderStream, sync::CancellationToken};

use super::{
    call::Call,
    face::{Face, Place},
    query::Query,
};

/// Bytes of a log as they arrive.
pub type LogBytes = BoxStream<'static, io::Result<Bytes>>;

/// Where logs come from: the node a pod runs on.
#[async_trait::async_trait]
pub trait LogSource: Send + Sync {
    /// Opens the log of one container on `node`.
    ///
    /// # Errors
    /// What the client is to be told: the container has not started, there is no previous one, the
    /// node cannot be reached.
    async fn open(&self, node: &str, request: LogRequest) -> Result<LogBytes, Status>;
}

#[async_trait::async_trait]
impl LogSource for Hub {
    async fn open(&self, node: &str, request: LogRequest) -> Result<LogBytes, Status> {
        match Hub::open(self, node, Request::Logs(request)).await {
            Ok(io) => Ok(ReaderStream::new(io).boxed()),
            Err(error) => Err(link_status(error)),
        }
    }
}

/// What a client is told when a node could not be asked, or said no.
pub(super) fn link_status(error: LinkError) -> Status {
    match error {
        LinkError::Refused { code, reason, message } => Status::failure(code, &reason, message),
        error => Status::internal(error),
    }
}

/// Answers `GET …/pods/P/log`.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    let (namespace, name) = call.object_name();
    let pod = face.registry.get_consistent(POD, namespace, name, "").await?;
    let mut request = options(&call.query)?;
    request.namespace = namespace.to_owned();
    request.pod = name.to_owned();
    request.uid = pod.uid().to_owned();
    request.container = container(pod.value(), name, call.query.get("container"))?;
    let node = pod.value().pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    if node.is_empty() {
        // As upstream: there is nobody to ask, and nothing was logged.
        return Ok(HttpResponse::NoContent().finish());
    }
    let source: Arc<dyn LogSource> = match (&face.logs, &face.link) {
        (Some(logs), _) => Arc::clone(logs),
        (None, Some(hub)) => Arc::clone(hub) as Arc<dyn LogSource>,
        (None, None) => return Err(Status::not_implemented("reading logs without a node link")),
    };
    let bytes = source.open(node, request).await?;
    let bytes = until(bytes, call.connection.clone(), face.stopping.clone(), place);
    Ok(HttpResponse::Ok().content_type("text/plain").streaming(bytes))
}

/// The log until it ends, the connection is gone or the server stops.
fn until(
    bytes: LogBytes,
    connection: CancellationToken,
    stopping: CancellationToken,
    place: Option<Place>,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold((bytes, place), move |(mut bytes, place)| {
        let (connection, stopping) = (connection.clone(), stopping.clone());
        async move {
            loop {
                let chunk = tokio::select! {
                    () = connection.cancelled() => None,
                    () = stopping.cancelled() => None,
                    chunk = bytes.next() => chunk,
                }?;
                // An empty chunk would stall an HTTP/2 stream.
                if !chunk.as_ref().is_ok_and(Bytes::is_empty) {
                    return Some((chunk, (bytes, place)));
                }
            }
        }
    })
}

fn options(query: &Query) -> Result<LogRequest, Status> {
    let positive = |name: &str, least: i64, text: &str| match query.int(name)? {
        Some(value) if value < least => Err(invalid(FieldError::invalid(name, value, text))),
        value => Ok(value.and_then(|v| u64::try_from(v).ok())),
    };
    let since_time = Some(query.get("sinceTime").to_owned()).filter(|t| !t.is_empty());
    let request = LogRequest {
        previous: query.is_set("previous"),
        follow: query.is_set("follow"),
        timestamps: query.is_set("timestamps"),
        tail_lines: positive("tailLines", 0, "must be greater than or equal to 0")?,
        limit_bytes: positive("limitBytes", 1, "must be greater than 0")?,
        since_seconds: positive("sinceSeconds", 1, "must be greater than 0")?,
        since_time,
        stream: Some(query.get("stream").to_owned()).filter(|s| !s.is_empty()),
        ..LogRequest::default()
    };
    if request.since_seconds.is_some() && request.since_time.is_some() {
        let text = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        return Err(invalid(FieldError::forbidden("", text)));
    }
    if let Some(stream) = request.stream.as_deref()
        && !["All", "Stdout", "Stderr"].contains(&stream)
    {
        let known = ["All", "Stdout", "Stderr"];
        return Err(invalid(FieldError::not_supported("stream", stream, &known)));
    }
    Ok(request)
}

fn invalid(error: FieldError) -> Status {
    Status::invalid_named("", "PodLogOptions", "", &[error])
}

/// The container whose log is meant: the one named, or the only one beside init containers
/// (upstream's `validateContainer` in registry/core/pod).
fn container(pod: &Value, name: &str, wanted: &str) -> Result<String, Status> {
    let names = |field: &str| -> Vec<&str> {
        let containers = pod["spec"][field].as_array();
        containers.into_iter().flatten().filter_map(|c| c["name"].as_str()).collect()
    };
    let main = names("containers");
    let init = names("initContainers");
    let ephemeral = names("ephemeralContainers");
    if wanted.is_empty() {
        if let [only] = main.as_slice() {
            return Ok((*only).to_owned());
        }
        let mut text = format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            main.join(" ")
        );
        if !init.is_empty() {
            text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
        }
        return Err(Status::bad_request(text));
    }
    if main.iter().chain(&init).chain(&ephemeral).any(|c| *c == wanted) {
        return Ok(wanted.to_owned());
    }
    Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers() {
        let one = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&one, "p", "").unwrap(), "a");
        let with_init =
            json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&with_init, "p", "").unwrap(), "a");
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&two, "p", "i").unwrap(), "i");
        assert_eq!(
            container(&two, "p", "").unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
        );
        assert_eq!(
            container(&two, "p", "x").unwrap_err().message,
            "container x is not valid for pod p"
        );
    }

    #[test]
    fn log_options() {
        let parsed = options(&Query::parse("follow=true&tailLines=5&timestamps=1")).unwrap();
        assert_eq!((parsed.follow, parsed.tail_lines, parsed.timestamps), (true, Some(5), true));
        for bad in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "stream=x",
            "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
        ] {
            assert_eq!(options(&Query::parse(bad)).unwrap_err().code, 422, "{bad}");
        }
        assert_eq!(options(&Query::parse("tailLines=x")).unwrap_err().code, 400);
    }
}
