//! Endpoints below an object: status, scale, binding, eviction, token, log, finalize.

use actix_web::{HttpResponse, web::Payload};
use kabuki_actors::registry::Subresource;
use kabuki_api::{
    kind::{BINDING, CERTIFICATE_SIGNING_REQUEST, EVICTION, Kind, SCALE, TOKEN_REQUEST},
    status::Status,
};

use super::{
    accept::Offer,
    answer,
    call::Call,
    face::{Face, Place},
    logs,
    pipeline::body,
    read, write,
};

/// Serves a request below an object.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    payload: Payload,
    place: Option<Place>,
) -> Result<HttpResponse, Status> {
    let name = call.resource.as_ref().map_or("", |r| r.subresource.as_str());
    let found = kind.subresource(name).ok_or_else(Status::unknown_resource)?;
    if !found.served {
        return Err(Status::not_implemented(&format!("the subresource {}/{name}", kind.plural)));
    }
    if !found.verbs.contains(&call.verb) {
        return Err(Status::method_not_allowed_here());
    }
    match (name, call.verb) {
        ("status", "get") => read::get(face, call, kind).await,
        ("approval", "get") => read::get(face, call, kind).await,
        ("approval" | "status", "update" | "patch") if kind == CERTIFICATE_SIGNING_REQUEST => {
            signing_request(face, call, kind, payload).await
        }
        ("status", "update") => {
            write::update_part(face, call, kind, body(call, payload).await?, Subresource::Status)
                .await
        }
        ("status", "patch") => {
            write::patch_part(face, call, kind, body(call, payload).await?, Subresource::Status)
                .await
        }
        ("finalize", "update") => {
            write::update_part(face, call, kind, body(call, payload).await?, Subresource::Finalize)
                .await
        }
        ("log", "get") => logs::serve(face, call, place).await,
        ("scale", _) => scale(face, call, kind, payload).await,
        ("binding", _) => bind(face, call, payload).await,
        ("eviction", _) => evict(face, call, payload).await,
        ("token", _) => token(face, call, payload).await,
        _ => Err(Status::not_implemented(&format!("the subresource {}/{name}", kind.plural))),
    }
}

/// The decision on a request, or its certificate: who writes them must have the right to use its
/// signer so (upstream: admission plugins CertificateApproval and CertificateSigning).
async fn signing_request(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    payload: Payload,
) -> Result<HttpResponse, Status> {
    let approval = call.resource.as_ref().is_some_and(|r| r.subresource == "approval");
    let (_, name) = call.object_name();
    let request = face.registry.get_consistent(kind, "", name, "").await?;
    let signer = request.value()["spec"]["signerName"].as_str().unwrap_or_default();
    let verb = if approval { "approve" } else { "sign" };
    if !face.authorizer.may_use_signer(&call.user, verb, signer) {
        let text = format!("user not permitted to {verb} requests with signerName {signer:?}");
        return Err(Status::forbidden(kind, name, &text));
    }
    let part = if approval { Subresource::Approval } else { Subresource::Status };
    let body = body(call, payload).await?;
    if call.verb == "patch" {
        return write::patch_part(face, call, kind, body, part).await;
    }
    write::update_part(face, call, kind, body, part).await
}

async fn scale(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    payload: Payload,
) -> Result<HttpResponse, Status> {
    call.negotiate(Offer::Single)?;
    let (namespace, name) = call.object_name();
    let registry = &face.registry;
    let scale = match call.verb {
        "get" => registry.scale(kind, namespace, name).await?,
        "update" => {
            let mut info = call.request_info("UpdateOptions")?;
            let scale = write::decode(call, SCALE, body(call, payload).await?, &mut info).await?;
            registry.update_scale(&info, kind, namespace, name, &scale).await?
        }
        _ => {
            let mut info = call.request_info("PatchOptions")?;
            let (patch_kind, patch) =
                write::decode_patch(call, kind, body(call, payload).await?).await?;
            info.force = write::patch_force(call, patch_kind)?;
            info.duplicates = patch.duplicates;
            registry.patch_scale(&info, kind, namespace, name, patch_kind, &patch.object).await?
        }
    };
    read::rendered(face, call, SCALE, &scale).await
}

async fn bind(face: &Face, call: &Call, payload: Payload) -> Result<HttpResponse, Status> {
    let mut info = call.request_info("CreateOptions")?;
    let binding = write::decode(call, BINDING, body(call, payload).await?, &mut info).await?;
    let (namespace, name) = call.object_name();
    face.registry.bind(&info, namespace, name, &binding).await?;
    created(call).await
}

/// `POST /api/v1/namespaces/N/bindings`: the pod is named in the body.
pub(super) async fn bind_by_body(
    face: &Face,
    call: &Call,
    body: bytes::Bytes,
) -> Result<HttpResponse, Status> {
    let mut info = call.request_info("CreateOptions")?;
    let binding = write::decode(call, BINDING, body, &mut info).await?;
    let pod = binding["metadata"]["name"].as_str().unwrap_or_default();
    if pod.is_empty() {
        return Err(Status::bad_request("metadata.name must name the pod to bind"));
    }
    let (namespace, _) = call.object_name();
    face.registry.bind(&info, namespace, pod, &binding).await?;
    created(call).await
}

async fn evict(face: &Face, call: &Call, payload: Payload) -> Result<HttpResponse, Status> {
    let mut info = call.request_info("CreateOptions")?;
    let eviction = write::decode(call, EVICTION, body(call, payload).await?, &mut info).await?;
    let (namespace, name) = call.object_name();
    face.registry.evict(&info, namespace, name, &eviction).await?;
    created(call).await
}

async fn token(face: &Face, call: &Call, payload: Payload) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Plain)?;
    let mut info = call.request_info("CreateOptions")?;
    let request = write::decode(call, TOKEN_REQUEST, body(call, payload).await?, &mut info).await?;
    let (namespace, name) = call.object_name();
    let token = face.registry.create_token(&info, namespace, name, &request).await?;
    Ok(answer::value(201, &token, looks).await)
}

async fn created(call: &Call) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Plain)?;
    let status = serde_json::to_vec(&Status::plain_success(201)).unwrap_or_default();
    Ok(answer::document(201, status.into(), looks).await)
}
