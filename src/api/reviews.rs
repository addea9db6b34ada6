//! Resources that are only created, never stored: access and token reviews, and bindings.

use actix_web::HttpResponse;
use bytes::Bytes;
use kabuki_actors::auth::Reviews;
use kabuki_api::{
    kind::{BINDING, Kind},
    status::Status,
};

use super::{accept::Offer, answer, call::Call, face::Face, subresource, write};

/// Answers a review.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    // Reviews have no table: a client that wants nothing else is told so.
    let (_, looks) = call.negotiate(Offer::Plain)?;
    if kind == BINDING {
        return subresource::bind_by_body(face, call, body).await;
    }
    let mut info = call.request_info("CreateOptions")?;
    let review = write::decode(call, kind, body, &mut info).await?;
    let (namespace, _) = call.object_name();
    let at = (namespace, "", "");
    let review = face.registry.admit_body(&info, kind, at, kind, &review).await?;
    let reviews = Reviews::new(face.authenticator.clone(), face.authorizer.clone());
    let answer = reviews.answer(&call.user, kind, namespace, &review).await?;
    Ok(answer::value(201, &answer, looks).await)
}
