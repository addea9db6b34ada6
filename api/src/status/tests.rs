use serde_json::json;

use super::Status;
use crate::{decode::Duplicates, kind, validate::FieldError};

#[test]
fn messages_are_upstreams() {
    let err = |p: &str| FieldError::required(p, "");
    for (status, code, reason, message) in [
        (
            Status::not_found(kind::DEPLOYMENT, "x"),
            404,
            "NotFound",
            "deployments.apps \"x\" not found",
        ),
        (Status::already_exists(kind::POD, "x"), 409, "AlreadyExists", "pods \"x\" already exists"),
        (
            Status::modified(kind::POD, "x"),
            409,
            "Conflict",
            "Operation cannot be fulfilled on pods \"x\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            Status::invalid(kind::POD, "x", &[err("spec.containers[0].image")]),
            422,
            "Invalid",
            "Pod \"x\" is invalid: spec.containers[0].image: Required value",
        ),
        (
            Status::invalid(kind::DEPLOYMENT, "x", &[err("a"), err("b"), err("a")]),
            422,
            "Invalid",
            "Deployment.apps \"x\" is invalid: [a: Required value, b: Required value]",
        ),
        (Status::forbidden(kind::POD, "x", "no"), 403, "Forbidden", "pods \"x\" is forbidden: no"),
        (Status::forbidden(kind::POD, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (Status::too_old(5, 9), 410, "Expired", "too old resource version: 5 (9)"),
        (
            Status::too_large_resource_version(9, 5),
            504,
            "Timeout",
            "Timeout: Too large resource version: 9, current: 5",
        ),
        (Status::internal("x"), 500, "InternalError", "Internal error occurred: x"),
        (Status::unauthorized(""), 401, "Unauthorized", "Unauthorized"),
        (
            Status::strict_decoding(
                kind::DEPLOYMENT,
                &["spec.foo".into()],
                &Duplicates::of_paths(vec!["spec.replicas".into()]),
            ),
            400,
            "BadRequest",
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\", duplicate field \"spec.replicas\"",
        ),
    ] {
        assert_eq!((status.code, status.reason.as_str()), (code, reason));
        assert_eq!(status.message, message);
    }
}

#[test]
fn serialises_as_status_object() {
    let got = serde_json::to_value(Status::not_found(kind::DEPLOYMENT, "x")).unwrap();
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "deployments.apps \"x\" not found", "reason": "NotFound", "code": 404,
        "details": {"name": "x", "group": "apps", "kind": "deployments"}});
    assert_eq!(got, want);
    let done = serde_json::to_value(Status::success(kind::CONFIG_MAP, "x", "u")).unwrap();
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "x", "kind": "configmaps", "uid": "u"}});
    assert_eq!(done, want);
    let back: Status = serde_json::from_value(done).unwrap();
    assert_eq!(back, Status::success(kind::CONFIG_MAP, "x", "u"));
}
