//! Requests to the API.

mod bodies;
mod objects;
mod patches;
mod queries;

use serde_json::Value;

use crate::case::{Case, Door, Report};

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";

pub fn run(door: &Door<'_>, report: &mut Report) {
    bodies::run(door, report);
    objects::run(door, report);
    patches::run(door, report);
    queries::run(door, report);
}

/// One case with a body of this media type.
pub fn send(
    door: &Door<'_>,
    report: &mut Report,
    case: Case<'_>,
    (method, path, media): (&str, &str, &str),
    body: &[u8],
) {
    let answer = door.send(method, path, &[("content-type", media)], body);
    report.api(&case, &answer);
}

/// One case that creates a JSON object.
pub fn create(door: &Door<'_>, report: &mut Report, case: Case<'_>, path: &str, object: &Value) {
    send(door, report, case, ("POST", path, JSON), object.to_string().as_bytes());
}
