//! `create`, `update`, `patch`, `delete` and `deletecollection`.

use actix_web::HttpResponse;
use bytes::Bytes;
use kabuki_actors::registry::{
    DeleteOptions, ListResult, PatchKind, RequestInfo, Subresource, Written,
};
use kabuki_api::{
    decode::{self, Decoded, Media},
    kind::Kind,
    status::Status,
    validate::FieldError,
};

use super::{
    accept::{self, Offer},
    answer,
    call::Call,
    face::Face,
    pipeline::warn,
    read,
};

/// Bodies above this many bytes are decoded outside the HTTP workers.
const OFFLOAD_ABOVE_BYTES: usize = 128 * 1024;

/// Decodes the body of a create or update as `kind`; the paths of duplicate fields go to `info`.
pub(super) async fn decode(
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
    info: &mut RequestInfo,
) -> Result<serde_json::Value, Status> {
    let media = accept::body_media(&call.content_type)?;
    if kind.custom.is_some() && media == Media::Protobuf {
        // What a definition defines has no protobuf form.
        return Err(Status::unsupported_media(&["application/json", "application/yaml"]));
    }
    let decoded = run(body, move |body| decode::decode(body, media, kind)).await?;
    info.duplicates = decoded.duplicates;
    Ok(decoded.object)
}

async fn run<T: Send + 'static>(
    body: Bytes,
    work: impl FnOnce(&[u8]) -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    if body.len() <= OFFLOAD_ABOVE_BYTES {
        return work(&body);
    }
    tokio::task::spawn_blocking(move || work(&body)).await.map_err(Status::internal)?
}

/// Creates an object.
pub(super) async fn create(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    call.negotiate(Offer::Single)?;
    let mut info = call.request_info("CreateOptions")?;
    let object = decode(call, kind, body, &mut info).await?;
    let (namespace, _) = call.object_name();
    let written = face.registry.create(&info, kind, namespace, object).await?;
    respond(face, call, &written).await
}

/// Replaces an object.
pub(super) async fn update(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    update_part(face, call, kind, body, Subresource::Main).await
}

/// Replaces a part of an object.
pub(super) async fn update_part(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
    part: Subresource,
) -> Result<HttpResponse, Status> {
    call.negotiate(Offer::Single)?;
    let mut info = call.request_info("UpdateOptions")?;
    let object = decode(call, kind, body, &mut info).await?;
    let (namespace, name) = call.object_name();
    let written = face.registry.update(&info, kind, namespace, name, object, part).await?;
    respond(face, call, &written).await
}

/// Patches an object.
pub(super) async fn patch(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    patch_part(face, call, kind, body, Subresource::Main).await
}

/// Patches a part of an object.
pub(super) async fn patch_part(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
    part: Subresource,
) -> Result<HttpResponse, Status> {
    call.negotiate(Offer::Single)?;
    let mut info = call.request_info("PatchOptions")?;
    let (patch_kind, decoded) = decode_patch(call, kind, body).await?;
    info.force = patch_force(call, patch_kind)?;
    info.duplicates = decoded.duplicates;
    let (namespace, name) = call.object_name();
    let registry = &face.registry;
    let written =
        registry.patch(&info, kind, namespace, name, patch_kind, &decoded.object, part).await?;
    respond(face, call, &written).await
}

/// Decodes the body of a patch.
pub(super) async fn decode_patch(
    call: &Call,
    of: &Kind,
    body: Bytes,
) -> Result<(PatchKind, Decoded), Status> {
    let kind = accept::patch_kind(&call.content_type, of.custom.is_some())?;
    let media = if kind == PatchKind::Apply { Media::Yaml } else { Media::Json };
    let decoded = run(body, move |body| decode::decode_value(body, media)).await?;
    Ok((kind, decoded))
}

/// `force` of a patch, which only an apply may have; an apply must name its manager.
///
/// # Errors
/// 422.
pub(super) fn patch_force(call: &Call, kind: PatchKind) -> Result<bool, Status> {
    let refuse = |error| Err(Status::invalid_named("meta.k8s.io", "PatchOptions", "", &[error]));
    let force = call.query.flag("force");
    if kind != PatchKind::Apply {
        if force.is_some() {
            let detail = "may not be specified for non-apply patch";
            return refuse(FieldError::forbidden("force", detail));
        }
    } else if call.query.get("fieldManager").is_empty() {
        return refuse(FieldError::required("fieldManager", "is required for apply patch"));
    }
    Ok(force.unwrap_or(false))
}

async fn respond(face: &Face, call: &Call, written: &Written) -> Result<HttpResponse, Status> {
    let code = if written.created { 201 } else { 200 };
    let mut response = read::one(face, call, &written.object, code).await?;
    warn(&mut response, &written.warnings);
    Ok(response)
}

/// Deletes an object.
pub(super) async fn delete(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Single)?;
    let (info, options) = delete_options(call, &body)?;
    let (namespace, name) = call.object_name();
    let deleted = face.registry.delete(&info, kind, namespace, name, &options).await?;
    if deleted.answers_object() {
        return read::one(face, call, &deleted.object, 200).await;
    }
    let status = serde_json::to_vec(&deleted.status()).unwrap_or_default();
    Ok(answer::document(200, status.into(), looks).await)
}

/// Deletes the objects a list would show, one by one, and answers them.
pub(super) async fn delete_collection(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    body: Bytes,
) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::List)?;
    let (info, options) = delete_options(call, &body)?;
    let (namespace, _) = call.object_name();
    let selected = call.query.list_options(namespace)?;
    let deleted = face.registry.delete_collection(&info, kind, &options, &selected).await?;
    let list = ListResult {
        kind,
        items: deleted.into_iter().map(|d| d.object).collect(),
        revision: face.registry.store().revision(),
        continue_token: String::new(),
        remaining: None,
    };
    Ok(answer::list(list, looks).await)
}

/// `DeleteOptions` from the body, or from the query where there is none.
fn delete_options(call: &Call, body: &Bytes) -> Result<(RequestInfo, DeleteOptions), Status> {
    let mut info = call.request_info("DeleteOptions")?;
    let from_query = call.query.delete_options()?;
    let mut options = if body.is_empty() {
        from_query
    } else {
        let media = accept::body_media(&call.content_type)?;
        let decoded = decode::decode_delete_options(body, media)?;
        DeleteOptions::from_value(&decoded).map_err(|field| {
            Status::bad_request(format!("DeleteOptions: field {field:?} cannot be read"))
        })?
    };
    options.dry_run |= info.dry_run;
    info.dry_run = options.dry_run;
    Ok((info, options))
}
