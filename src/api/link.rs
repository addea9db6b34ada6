//! The endpoint of the node link: upgrades a node's connection and hands the bytes to the hub.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONNECTION, UPGRADE},
    rt,
    web::{self, Data, Payload, ServiceConfig},
};
use futures_util::StreamExt;
use kabuki_actors::link::{LINK_PATH, LINK_UPGRADE};
use kabuki_api::status::Status;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::{
    answer::{self, Looks},
    authn::authenticate,
    face::Face,
};

/// Bytes on their way between the socket and the session, per direction.
const BUFFER_BYTES: usize = 64 * 1024;

/// Adds the endpoint if this member has a hub.
pub(super) fn configure(services: &mut ServiceConfig, face: &Data<Face>) {
    if face.link.is_some() {
        services.route(LINK_PATH, web::get().to(upgrade));
    }
}

async fn upgrade(request: HttpRequest, payload: Payload, face: Data<Face>) -> HttpResponse {
    match accept(&request, payload, &face).await {
        Ok(response) => response,
        Err(status) => answer::failure(&status, Looks::default()),
    }
}

async fn accept(
    request: &HttpRequest,
    mut payload: Payload,
    face: &Face,
) -> Result<HttpResponse, Status> {
    let hub = face.link.clone().ok_or_else(Status::unknown_resource)?;
    let user = authenticate(face, request).await?;
    let Some(node) = user.node_name().map(str::to_owned) else {
        let text = format!("{:?} is not a node: a link needs a node's certificate", user.name);
        return Err(Status::forbidden_resource("", "nodes", "", &text));
    };
    let wants = |value: &str| value.trim().eq_ignore_ascii_case(LINK_UPGRADE);
    let mut upgrades = request.headers().get_all(UPGRADE).filter_map(|v| v.to_str().ok());
    if !upgrades.any(wants) {
        return Err(Status::bad_request(format!("Upgrade: {LINK_UPGRADE} is required")));
    }
    let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
    let (reader, mut writer) = tokio::io::split(ours);
    let connection = super::connection::connection_token(request);
    // What the socket brings is copied here, on the worker that owns the socket.
    rt::spawn(async move {
        while let Some(Ok(chunk)) = payload.next().await {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    tokio::spawn(async move {
        let session = hub.register(&node, theirs);
        let ended: Result<(), String> = tokio::select! {
            ended = session => ended.map_err(|e| e.to_string()),
            () = connection.cancelled() => Ok(()),
        };
        match ended {
            Ok(()) => tracing::debug!(node, "node link ended"),
            Err(error) => tracing::info!(node, error, "node link refused"),
        }
    });
    let bytes = ReaderStream::with_capacity(reader, BUFFER_BYTES);
    let bytes = bytes.filter(|chunk| {
        let empty = chunk.as_ref().is_ok_and(bytes::Bytes::is_empty);
        std::future::ready(!empty)
    });
    let mut response = HttpResponse::SwitchingProtocols();
    response.upgrade(LINK_UPGRADE).insert_header((CONNECTION, "Upgrade"));
    Ok(response.streaming::<_, io::Error>(bytes))
}
