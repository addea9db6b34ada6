//! Operating a cluster: `/operations/members` and `/operations/snapshot`. Who may is decided by RBAC
//! on these paths; of the built-in roles only cluster-admin may.

mod members;
mod snapshot;

use actix_web::HttpResponse;
use kabuki_api::status::Status;
use kabuki_raft::StoreError;

use super::{accept::Offer, answer, call::Call, documents::not_found, face::Face};

/// Seconds after which what has no leader now may be tried again.
const RETRY_AFTER_SECONDS: i32 = 1;

/// Serves a path below `/operations`.
pub(super) async fn serve(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let path = call.path.trim_end_matches('/');
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (call.verb, segments.as_slice()) {
        ("get", ["operations", "members"]) => members::list(face, call).await,
        ("delete", ["operations", "members", member]) => members::remove(face, call, member).await,
        ("post", ["operations", "leader"]) => members::transfer(face, call).await,
        ("get", ["operations", "snapshot"]) => snapshot::serve(face, call).await,
        (_, ["operations", "members" | "snapshot" | "leader", ..]) => {
            Err(Status::method_not_allowed_here())
        }
        _ => Ok(not_found()),
    }
}

async fn json(call: &Call, value: &serde_json::Value) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::value(200, value, looks).await)
}

/// The answer to what the store refused.
fn refused(error: StoreError) -> Status {
    match error {
        StoreError::Membership(text) => Status::failure(409, "Conflict", text),
        StoreError::Unavailable(_) | StoreError::Overloaded(_) | StoreError::Closed => {
            Status::unavailable(error.to_string()).with_retry_after(RETRY_AFTER_SECONDS)
        }
        other => Status::internal(other),
    }
}
