//! The constructors of [`Status`], one per upstream constructor.

use super::{Cause, Details, Status};
use crate::{
    decode::Duplicates,
    kind::Kind,
    text::{quote, quoted_list},
    validate::FieldError,
};

/// Conflict text of a lost optimistic-concurrency race.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
/// Media types accepted in bodies and produced in answers.
const MEDIA_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

fn about(kind: &Kind, name: &str) -> Details {
    Details {
        name: name.into(),
        group: kind.group.into(),
        kind: kind.plural.into(),
        ..Details::default()
    }
}

impl Status {
    /// 404 `deployments.apps "x" not found`.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {} not found", kind.group_resource(), quote(name));
        Self::failure(404, "NotFound", message).with_details(about(kind, name))
    }

    /// 404 for a path or resource the server does not know: `the server could not find the
    /// requested resource`.
    pub fn unknown_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::failure(404, "NotFound", message).with_details(Details::default())
    }

    /// 409 `pods "x" already exists`.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {} already exists", kind.group_resource(), quote(name));
        Self::failure(409, "AlreadyExists", message).with_details(about(kind, name))
    }

    /// 409 when every generated name was taken.
    pub fn generate_name_conflict(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            kind.group_resource(),
            quote(name)
        );
        Self::failure(409, "AlreadyExists", message)
            .with_details(about(kind, name))
            .with_retry_after(1)
    }

    /// 409 `Operation cannot be fulfilled on pods "x": …`.
    pub fn conflict(kind: &Kind, name: &str, message: &str) -> Self {
        let resource = kind.group_resource();
        let message =
            format!("Operation cannot be fulfilled on {resource} {}: {message}", quote(name));
        Self::failure(409, "Conflict", message).with_details(about(kind, name))
    }

    /// 409: the resourceVersion given is not the current one.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(kind, name, MODIFIED)
    }

    /// 409: a uid precondition failed.
    pub fn uid_precondition(kind: &Kind, name: &str, wanted: &str, actual: &str) -> Self {
        let message = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
        );
        Self::conflict(kind, name, &message)
    }

    /// 409: a resourceVersion precondition failed.
    pub fn version_precondition(kind: &Kind, name: &str, wanted: &str, actual: &str) -> Self {
        let message = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {actual}"
        );
        Self::conflict(kind, name, &message)
    }

    /// 422 `Deployment.apps "x" is invalid: …` with one cause per field.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_named(kind.group, kind.kind, name, errors)
    }

    /// [`Status::invalid`] for something outside the kind table, such as `ListOptions`.
    pub fn invalid_named(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let shown = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut message = format!("{shown} {} is invalid", quote(name));
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [] => {}
            [one] => message.push_str(&format!(": {one}")),
            many => message.push_str(&format!(": [{}]", many.join(", "))),
        }
        let causes = errors
            .iter()
            .map(|e| Cause {
                reason: e.reason.cause().into(),
                message: e.body(),
                field: e.path.clone(),
            })
            .collect();
        Self::failure(422, "Invalid", message).with_details(Details {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes,
            ..Details::default()
        })
    }

    /// 403 `pods "x" is forbidden: …`; without a name `pods is forbidden: …`.
    pub fn forbidden(kind: &Kind, name: &str, message: &str) -> Self {
        let resource = kind.group_resource();
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {message}")
        } else {
            format!("{resource} {} is forbidden: {message}", quote(name))
        };
        Self::failure(403, "Forbidden", message).with_details(about(kind, name))
    }

    /// 403 for a path that is no resource, or for a group and resource outside the kind table.
    pub fn forbidden_resource(group: &str, resource: &str, name: &str, message: &str) -> Self {
        let shown =
            if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let message = match (shown.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {message}"),
            (false, true) => format!("{shown} is forbidden: {message}"),
            (false, false) => format!("{shown} {} is forbidden: {message}", quote(name)),
        };
        Self::failure(403, "Forbidden", message).with_details(Details {
            name: name.into(),
            group: group.into(),
            kind: resource.into(),
            ..Details::default()
        })
    }

    /// 403 while the namespace is being deleted, with the cause controllers look for.
    pub fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let text = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = format!("namespace {namespace} is being terminated");
        Self::forbidden(kind, name, &text).with_cause(
            "NamespaceTerminating",
            &cause,
            "metadata.namespace",
        )
    }

    /// 400 with the given text.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 401; upstream says only `Unauthorized` to clients, the reason is for the log.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        let message = message.into();
        let message = if message.is_empty() { "Unauthorized".to_owned() } else { message };
        Self::failure(401, "Unauthorized", message)
    }

    /// 410 with the given text.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 410 of a watch: `too old resource version: 5 (9)`.
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 of a list page whose revision was compacted; `token` goes on inconsistently (may be
    /// empty).
    pub fn continue_expired(token: &str) -> Self {
        if token.is_empty() {
            return Self::expired("The resourceVersion for the provided list is too old.");
        }
        let mut status = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        token.clone_into(&mut status.metadata.continue_);
        status
    }

    /// 500 `Internal error occurred: …`.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let cause = message.to_string();
        Self::failure(500, "InternalError", format!("Internal error occurred: {cause}"))
            .with_cause("", &cause, "")
    }

    /// 503 with the given text.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 504 `Timeout: …`. Clients send a request again, whatever it does, when they are told after
    /// how many seconds; 0 tells them nothing, for a change that may have happened.
    pub fn timeout(message: &str, retry_after_seconds: i32) -> Self {
        let status = Self::failure(504, "Timeout", format!("Timeout: {message}"));
        match retry_after_seconds {
            0 => status,
            seconds => status.with_retry_after(seconds),
        }
    }

    /// 504 when a revision ahead of this server did not arrive in time.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::timeout(&message, 1).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    }

    /// 500 `ServerTimeout`: the operation could not be finished now.
    pub fn server_timeout(kind: &Kind, operation: &str, retry_after_seconds: i32) -> Self {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            kind.group_resource()
        );
        Self::failure(500, "ServerTimeout", message)
            .with_details(about(kind, operation))
            .with_retry_after(retry_after_seconds)
    }

    /// 413 `Request entity too large: …`.
    pub fn too_large(message: impl std::fmt::Display) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::failure(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body's type is not one of `accepted` (empty: the usual three).
    pub fn unsupported_media(accepted: &[&str]) -> Self {
        let joined = accepted.join(", ");
        let list = if accepted.is_empty() { MEDIA_TYPES } else { joined.as_str() };
        Self::failure(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {list}"
            ),
        )
    }

    /// 406: nothing the client accepts can be produced.
    pub fn not_acceptable() -> Self {
        let message = format!("only the following media types are accepted: {MEDIA_TYPES}");
        Self::failure(406, "NotAcceptable", message)
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed(kind: &Kind, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {}",
            quote(&kind.group_resource())
        );
        Self::failure(405, "MethodNotAllowed", message).with_details(about(kind, ""))
    }

    /// 405: a custom resource whose definition is being deleted.
    pub fn definition_terminating(kind: &Kind, verb: &str) -> Self {
        let message = format!("{verb} not allowed while custom resource definition is terminating");
        Self::failure(405, "MethodNotAllowed", message).with_details(about(kind, ""))
    }

    /// 405 where no kind is known: `the server does not allow this method on the requested
    /// resource`.
    pub fn method_not_allowed_here() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message).with_details(Details::default())
    }

    /// 429 with the given text.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> Self {
        Self::failure(429, "TooManyRequests", message).with_retry_after(retry_after_seconds)
    }

    /// 501: a part of Kubernetes this server does not have.
    pub fn not_implemented(what: &str) -> Self {
        Self::failure(501, "NotImplemented", format!("{what} is not implemented by this server"))
    }

    /// 400 for an object that cannot be read as its kind, with upstream's prefix.
    pub fn cannot_be_handled(version: &str, kind: &str, detail: &str) -> Self {
        Self::bad_request(format!(
            "{kind} in version {} cannot be handled as a {kind}: {detail}",
            quote(version)
        ))
    }

    /// 400 of `fieldValidation=Strict`: unknown fields, given as paths, and keys that occur twice.
    pub fn strict_decoding(kind: &Kind, unknown: &[String], duplicates: &Duplicates) -> Self {
        let detail = format!("strict decoding error: {}", duplicates.error(unknown));
        Self::cannot_be_handled(kind.version, kind.kind, &detail)
    }

    /// 400: one of a closed set was expected in a parameter.
    pub fn unsupported_parameter(parameter: &str, value: &str, supported: &[&str]) -> Self {
        Self::bad_request(format!(
            "invalid {parameter} {}: supported values: {}",
            quote(value),
            quoted_list(supported)
        ))
    }

    /// 200 of a delete that answers a Status: `details.kind` is the resource.
    pub fn success(kind: &Kind, name: &str, uid: &str) -> Self {
        let mut status = Self::plain_success(0);
        let mut details = about(kind, name);
        details.uid = uid.into();
        status.details = Some(details);
        status
    }

    /// A success without details, such as the 201 of a binding (`code` 0 leaves it out).
    pub fn plain_success(code: u16) -> Self {
        let mut status = Self::failure(code, "", "");
        "Success".clone_into(&mut status.status);
        status
    }
}
