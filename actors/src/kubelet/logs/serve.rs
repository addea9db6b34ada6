//! Answers the requests that members make over the link.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodStatus},
    jiff::{SignedDuration, Timestamp},
};
use tokio::io::AsyncWriteExt;

use super::{LogOptions, LogSource, pod_log_dir, stream};
use crate::{
    kernel::{DebugAnswer, DebugCall, Kernel},
    kubelet::{context::NodeContext, context::timestamp, pod_view::PodView},
    link::{Handler, LinkError, LogRequest, Request, Responder},
};

/// Status code, reason and message of a refusal.
type Refusal = (u16, &'static str, String);

/// Serves logs, and the node's actor tree.
pub struct NodeHandler {
    node: Arc<NodeContext>,
    kernel: Kernel,
}

impl NodeHandler {
    /// For the link's dialer.
    pub fn new(node: Arc<NodeContext>, kernel: Kernel) -> Self {
        Self { node, kernel }
    }

    async fn logs(&self, request: LogRequest, responder: Responder) -> Result<(), LinkError> {
        let (source, options) = match self.find(&request) {
            Ok(found) => found,
            Err((code, reason, message)) => return responder.refuse(code, reason, message).await,
        };
        let mut to = responder.accept().await?;
        stream(source, options, &mut to).await?;
        to.shutdown().await?;
        Ok(())
    }

    fn find(&self, request: &LogRequest) -> Result<(LogSource, LogOptions), Refusal> {
        let pod = self
            .node
            .pod(&request.uid)
            .ok_or_else(|| (404, "NotFound", format!("pods \"{}\" not found", request.pod)))?;
        let status = self.node.status(&request.uid);
        let status = status.or_else(|| pod.status.clone().map(Arc::new)).unwrap_or_default();
        let attempt = which_run(&pod, &status, &request.container, request.previous)?;
        let dir = pod_log_dir(&self.node.config.log_root, &pod).join(&request.container);
        let options = options(request, timestamp(std::time::SystemTime::now()))?;
        let (node, uid) = (self.node.clone(), request.uid.clone());
        let container = request.container.clone();
        let ended = move || {
            let Some(status) = node.status(&uid) else { return true };
            find_status(&status, &container).is_none_or(|c| {
                let running = c.state.as_ref().is_some_and(|s| s.running.is_some());
                !running || c.restart_count != attempt
            })
        };
        let path = dir.join(format!("{attempt}.log"));
        Ok((LogSource { path, ended: Arc::new(ended) }, options))
    }

    async fn tree(&self, responder: Responder) -> Result<(), LinkError> {
        let body = serde_json::to_vec(&self.kernel.tree())
            .map_err(|e| LinkError::Protocol(e.to_string()))?;
        send(responder, &body).await
    }

    /// The member has authenticated and authorised the user it names.
    async fn debug(&self, call: &DebugCall, responder: Responder) -> Result<(), LinkError> {
        match self.kernel.debug(call).await {
            Ok(DebugAnswer::Json(document)) => send(responder, &document).await,
            Ok(DebugAnswer::Text(text)) => send(responder, text.as_bytes()).await,
            Ok(DebugAnswer::Trace(mut trace)) => {
                let mut to = responder.accept().await?;
                while let Some(line) = trace.next_line(call.wants_text()).await {
                    to.write_all(line.as_bytes()).await?;
                    to.flush().await?;
                }
                to.shutdown().await?;
                Ok(())
            }
            Err(e) => responder.refuse(e.code, &e.reason, e.message).await,
        }
    }

    async fn inspect(&self, path: &str, responder: Responder) -> Result<(), LinkError> {
        match self.kernel.inspect(path).await {
            Ok(state) => {
                let body =
                    serde_json::to_vec(&state).map_err(|e| LinkError::Protocol(e.to_string()))?;
                send(responder, &body).await
            }
            Err(error) => responder.refuse(404, "NotFound", error.to_string()).await,
        }
    }
}

#[async_trait]
impl Handler for NodeHandler {
    async fn handle(&self, request: Request, responder: Responder) {
        let done = match request {
            Request::Ping => responder.accept().await.map(|_| ()),
            Request::Logs(request) => self.logs(request, responder).await,
            Request::Debug(call) => self.debug(&call, responder).await,
            Request::ActorTree => self.tree(responder).await,
            Request::ActorInspect { path } => self.inspect(&path, responder).await,
        };
        if let Err(error) = done {
            // Mostly a client that stopped reading.
            tracing::debug!(%error, "a request over the link ended early");
        }
    }
}

async fn send(responder: Responder, body: &[u8]) -> Result<(), LinkError> {
    let mut to = responder.accept().await?;
    to.write_all(body).await?;
    to.shutdown().await?;
    Ok(())
}

fn find_status<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let lists = [&status.container_statuses, &status.init_container_statuses];
    lists.into_iter().flatten().flatten().find(|c| c.name == name)
}

fn options(request: &LogRequest, now: Timestamp) -> Result<LogOptions, Refusal> {
    let since = match (&request.since_time, request.since_seconds) {
        (Some(text), _) => {
            let bad = |e| (400, "BadRequest", format!("sinceTime {text:?} is not a time: {e}"));
            Some(text.parse::<Timestamp>().map_err(bad)?)
        }
        (None, Some(seconds)) => {
            let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Some(now.saturating_sub(seconds).unwrap_or(Timestamp::MIN))
        }
        (None, None) => None,
    };
    let stream = match request.stream.as_deref() {
        Some("Stdout") => Some("stdout".to_owned()),
        Some("Stderr") => Some("stderr".to_owned()),
        _ => None,
    };
    Ok(LogOptions {
        follow: request.follow,
        tail: request.tail_lines,
        since,
        timestamps: request.timestamps,
        limit: request.limit_bytes,
        stream,
    })
}

/// Which restart's log is meant (upstream `validateContainerLogStatus`).
fn which_run(pod: &Pod, status: &PodStatus, name: &str, previous: bool) -> Result<i32, Refusal> {
    let full = PodView::name(pod);
    let bad = |what: String| {
        (400, "BadRequest", format!("container \"{name}\" in pod \"{full}\" {what}"))
    };
    if pod.container(name).is_none() {
        let text = format!("container {name} is not valid for pod {full}");
        return Err((400, "BadRequest", text));
    }
    let Some(container) = find_status(status, name) else {
        return Err(bad("is not available".to_owned()));
    };
    let state = container.state.clone().unwrap_or_default();
    let last = container.last_state.as_ref().and_then(|l| l.terminated.as_ref());
    let waits = state.running.is_none() && state.terminated.is_none();
    if previous {
        let missing =
            format!("previous terminated container \"{name}\" in pod \"{full}\" not found");
        last.ok_or((400, "BadRequest", missing))?;
        // A waiting container's latest run is its previous one.
        return Ok(if waits { container.restart_count } else { container.restart_count - 1 });
    }
    if !waits || last.is_some() {
        return Ok(container.restart_count);
    }
    let reason = state.waiting.and_then(|w| w.reason).unwrap_or_default();
    Err(bad(match reason.as_str() {
        "ErrImagePull" => "is waiting to start: image can't be pulled".to_owned(),
        "ImagePullBackOff" => "is waiting to start: trying and failing to pull image".to_owned(),
        "" => "is waiting to start: no logs yet".to_owned(),
        reason => format!("is waiting to start: {reason}"),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn which_run_is_read() {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}),
        )
        .unwrap();
        let run = |status: Value, previous| {
            let list = json!({"containerStatuses": [status]});
            let status: PodStatus = serde_json::from_value(list).unwrap();
            which_run(&pod, &status, "c", previous).map_err(|(_, _, text)| text)
        };
        let of = |state: Value, last: Value| {
            json!({"name": "c", "restartCount": 2, "state": state, "lastState": last,
                "image": "", "imageID": "", "ready": false})
        };
        let ended = json!({"terminated": {"exitCode": 1}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let pulling = json!({"waiting": {"reason": "ErrImagePull"}});
        let missing = "previous terminated container \"c\" in pod \"p\" not found";
        let table = [
            (of(json!({"running": {}}), ended.clone()), false, Ok(2)),
            (of(json!({"running": {}}), ended.clone()), true, Ok(1)),
            (of(waiting.clone(), ended.clone()), false, Ok(2)),
            (of(waiting, ended), true, Ok(2)),
            (of(json!({"running": {}}), json!({})), true, Err(missing.to_owned())),
            (
                of(pulling, json!({})),
                false,
                Err("container \"c\" in pod \"p\" is waiting to start: image can't be pulled"
                    .to_owned()),
            ),
        ];
        for (status, previous, expected) in table {
            assert_eq!(run(status.clone(), previous), expected, "{status} {previous}");
        }
    }
}
