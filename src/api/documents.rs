//! Paths that are no resource: discovery, version, OpenAPI, health, metrics, debug.

use actix_web::HttpResponse;
use bytes::Bytes;
use kabuki_api::status::Status;
use serde_json::{Value, json};

use super::{
    KUBERNETES_VERSION, accept::Offer, answer, call::Call, debug, discovery, face::Face, health,
    openapi, operations,
};

/// Serves a path.
pub(super) async fn serve(face: &Face, call: &Call, body: &Bytes) -> Result<HttpResponse, Status> {
    let path = call.path.trim_end_matches('/');
    if path == "/debug/api_priority_and_fairness/dump_priority_levels" && call.verb == "get" {
        return Ok(answer::text(200, face.flow.levels()));
    }
    if path == "/debug" || path.starts_with("/debug/") {
        return debug::serve(face, call, body).await;
    }
    if path.starts_with("/operations/") {
        return operations::serve(face, call).await;
    }
    if !matches!(call.verb, "get" | "head") {
        return Ok(not_found());
    }
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        [""] => root(face, call).await,
        ["version"] => plain(call, &version()).await,
        ["healthz" | "livez" | "readyz", ..] => Ok(health::serve(face, call).await),
        ["metrics"] => Ok(face.metrics.answer(face).await),
        ["openapi", rest @ ..] => openapi::serve(face, call, rest).await,
        [".well-known", "openid-configuration"] => openid(face, call).await,
        ["openid", "v1", "jwks"] => jwks(face, call).await,
        ["api" | "apis", ..] => discovery::serve(face, call, &segments).await,
        _ => Ok(not_found()),
    }
}

/// The answer for paths nobody knows.
pub(super) fn not_found() -> HttpResponse {
    answer::text(404, "404 page not found\n")
}

async fn plain(call: &Call, value: &Value) -> Result<HttpResponse, Status> {
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::value(200, value, looks).await)
}

async fn root(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let mut paths = discovery::paths(&face.discovery.get(&face.registry));
    paths.extend(openapi::paths(face));
    for path in [
        "/debug/actors",
        "/debug/alarms",
        "/debug/api_priority_and_fairness/dump_priority_levels",
        "/debug/audit",
        "/debug/deadletters",
        "/healthz",
        "/livez",
        "/metrics",
        "/operations/members",
        "/operations/snapshot",
        "/readyz",
        "/version",
    ] {
        paths.push(path.to_owned());
    }
    plain(call, &json!({"paths": paths})).await
}

fn version() -> Value {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let platform = format!("linux/{}", go_arch(std::env::consts::ARCH));
    json!({
        "major": numbers.next(), "minor": numbers.next(),
        "gitVersion": format!("{KUBERNETES_VERSION}+kabuki.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": platform,
    })
}

fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn openid(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let issuer = &face.registry.config().issuer;
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("https://{}/openid/v1/jwks", face.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    plain(call, &document).await
}

async fn jwks(face: &Face, call: &Call) -> Result<HttpResponse, Status> {
    let Some(keys) = &face.registry.config().keys else { return Ok(not_found()) };
    let (_, looks) = call.negotiate(Offer::Plain)?;
    let mut response = answer::value(200, &keys.jwks(), looks).await;
    super::header(&mut response, "content-type", "application/jwk-set+json");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_what_clients_parse() {
        let version = version();
        assert_eq!((version["major"].as_str(), version["minor"].as_str()), (Some("1"), Some("36")));
        assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36.0+kabuki."));
    }
}
