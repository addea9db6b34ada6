//! Looking into the running cast: `/debug/actors`, `/debug/actors/<path>/state`, orders to actors,
//! and `/debug/deadletters`. Who may is decided by RBAC on these paths, as for any other.
//!
//! With `?node=NAME` the cast of that node is shown, through its link to this member.

use actix_web::HttpResponse;
use bytes::Bytes;
use kabuki_actors::{
    kernel::{Control, KernelError, TopBy, TreeSnapshot},
    link::Request,
};
use kabuki_api::status::Status;
use serde::Serialize;
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::{
    accept::Offer, answer, call::Call, documents::not_found, face::Face, logs::link_status,
};

/// Rows of `?top=` when no number is given, and at most.
const TOP_ROWS: usize = 20;
const MAX_TOP_ROWS: usize = 1_000;
const ACTORS: &str = "/debug/actors";
/// Largest answer of a node, bytes.
const MAX_REMOTE_BYTES: u64 = 32 * 1024 * 1024;

/// Serves a path below `/debug`.
pub(super) async fn serve(face: &Face, call: &Call, _body: &Bytes) -> Result<HttpResponse, Status> {
    let path = call.path.trim_end_matches('/');
    let reading = matches!(call.verb, "get" | "head");
    if path == "/debug/deadletters" && reading {
        return json(call, &face.kernel.dead_letters()).await;
    }
    let Some(below) = path.strip_prefix(ACTORS) else { return Ok(not_found()) };
    if below.is_empty() && reading {
        return tree(face, call).await;
    }
    let Some((actor, last)) = below.rsplit_once('/') else { return Ok(not_found()) };
    let actor = if actor.is_empty() { "/" } else { actor };
    let node = call.query.get("node");
    if !node.is_empty() {
        return match (reading, last) {
            (true, "state") => {
                let asked = Request::ActorInspect { path: actor.to_owned() };
                let document = remote(face, node, asked).await?;
                let (_, looks) = call.negotiate(Offer::Plain)?;
                Ok(answer::document(200, document.into(), looks).await)
            }
            _ => Err(Status::not_implemented("ordering about the actors of another machine")),
        };
    }
    match (call.verb, last) {
        ("get" | "head", "state") => {
            let inspection = face.kernel.inspect(actor).await.map_err(status)?;
            json(call, &inspection).await
        }
        ("get" | "head", _) => {
            let shown = face.kernel.show(below).map_err(status)?;
            if call.query.get("format") == "text" {
                return Ok(answer::text(200, shown.render()));
            }
            json(call, &shown).await
        }
        ("post", order) => {
            let Some(control) = control(order) else { return Ok(not_found()) };
            face.kernel.control(actor, control).map_err(status)?;
            tracing::warn!(actor, order, user = call.user.name, "an actor was given an order");
            json(call, &json!({"path": actor, "order": order, "accepted": true})).await
        }
        _ => Err(Status::method_not_allowed_here()),
    }
}

fn control(order: &str) -> Option<Control> {
    Some(match order {
        "pause" => Control::Pause,
        "resume" => Control::Resume,
        "restart" => Control::Restart,
        "panic" => Control::InjectPanic("panic injected through /debug/actors".to_owned()),
        _ => return None,
    })
}

async fn tree(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let tree = match call.query.get("node") {
        "" => face.kernel.tree(),
        node => {
            let document = remote(face, node, Request::ActorTree).await?;
            serde_json::from_slice::<TreeSnapshot>(&document).map_err(Status::internal)?
        }
    };
    if call.query.get("format") != "text" {
        return json(call, &tree).await;
    }
    let by = match call.query.get("top") {
        "" => return Ok(answer::text(200, tree.render_tree())),
        "depth" => TopBy::Depth,
        "busy" => TopBy::Busy,
        "restarts" => TopBy::Restarts,
        _ => TopBy::Handled,
    };
    let rows = call.query.int("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(TOP_ROWS);
    Ok(answer::text(200, tree.render_top(by, rows.min(MAX_TOP_ROWS))))
}

/// Asks a node; its answer is a JSON document.
async fn remote(face: &Face, node: &str, request: Request) -> Result<Vec<u8>, Status> {
    let hub = face.link.as_ref().ok_or_else(|| Status::not_implemented("the node link"))?;
    let stream = hub.open(node, request).await.map_err(link_status)?;
    let mut document = Vec::new();
    stream.take(MAX_REMOTE_BYTES).read_to_end(&mut document).await.map_err(Status::internal)?;
    Ok(document)
}

async fn json<T: Serialize>(call: &Call, value: &T) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Plain)?;
    let document = serde_json::to_vec(value).map_err(Status::internal)?;
    Ok(answer::document(200, document.into(), looks).await)
}

fn status(error: KernelError) -> Status {
    let text = error.to_string();
    match error {
        KernelError::NotFound(_) => Status::failure(404, "NotFound", text),
        KernelError::Busy(_) => Status::too_many_requests(text, 1),
        KernelError::NotAnActor(_) => Status::bad_request(text),
        _ => Status::internal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        assert_eq!(control("pause"), Some(Control::Pause));
        assert!(matches!(control("panic"), Some(Control::InjectPanic(_))));
        assert_eq!(control("state"), None);
    }

    #[test]
    fn errors() {
        assert_eq!(status(KernelError::NotFound("/x".into())).code, 404);
        assert_eq!(status(KernelError::NotAnActor("/x".into())).code, 400);
    }
}
