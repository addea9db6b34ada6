//! `GET /operations/snapshot`: the whole state at one revision, as a file.

use std::io;

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use kabuki_api::status::Status;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

use super::{
    super::{call::Call, face::Face},
    refused,
};
use crate::backup::{self, Header};

/// Pieces of the file waiting for the client.
const PIECES: usize = 4;

/// Answers with the file. A barrier comes first, so that everything acknowledged before the call is
/// in it, whichever member answers.
pub(super) async fn serve(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let Some(attachments) = &face.attachments else {
        return Err(Status::not_implemented("snapshots of this server"));
    };
    let store = face.registry.store();
    store.read_barrier().await.map_err(refused)?;
    let page = store.list("", None, 0);
    let header = Header {
        cluster_id: store.status().cluster_id,
        revision: page.revision,
        time: face.now().format(&Rfc3339).map_err(Status::internal)?,
        records: page.records.len() as u64,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    tracing::info!(
        revision = header.revision,
        records = header.records,
        user = call.user.name,
        "sending a snapshot"
    );
    let attachments = attachments();
    let (sender, receiver) = mpsc::channel::<Bytes>(PIECES);
    tokio::task::spawn_blocking(move || {
        backup::encode(&header, &attachments, &page, |piece| {
            sender.blocking_send(piece.into()).is_ok()
        });
    });
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (Ok::<_, io::Error>(piece), receiver))
    });
    let mut response = HttpResponse::Ok();
    response.content_type("application/octet-stream");
    Ok(response.streaming(pieces))
}
