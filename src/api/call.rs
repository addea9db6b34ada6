//! One request as the handlers see it: parsed once, owned, without actix types.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::{Method, header::HeaderValue},
};
use kabuki_actors::{
    auth::{Attributes, UserInfo},
    registry::{Notes, Registry, RequestInfo},
};
use kabuki_api::{
    kind::{self, Kind},
    status::Status,
    table::Include,
};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{
    accept::{self, Accepted, Offer},
    answer::Looks,
    audited::Record,
    connection::connection_token,
    flow::Labels,
    path::{self, ResourcePath},
    query::Query,
    socket,
};

/// A request that is no watch or stream is given up after this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// One request.
pub(super) struct Call {
    /// URL path as sent.
    pub path: String,
    /// Query parameters.
    pub query: Query,
    /// The resource the path names, if it names one.
    pub resource: Option<ResourcePath>,
    /// The kind of that resource, if this member knows it.
    pub known: Option<&'static Kind>,
    /// `get`, `list`, `watch`, …; for a path the lower-case method.
    pub verb: &'static str,
    /// `Accept`, all headers of that name joined.
    pub accept: String,
    /// `Content-Type`.
    pub content_type: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// `If-None-Match`.
    pub if_none_match: String,
    /// Who asks; anonymous until authenticated.
    pub user: UserInfo,
    /// Cancelled when the connection is gone.
    pub connection: CancellationToken,
    /// Whether the client takes gzip.
    pub gzip: bool,
    /// Id of the request: the client's, or a new one.
    pub audit_id: HeaderValue,
    /// When it came, as far as somebody asked.
    pub received: Option<OffsetDateTime>,
    /// What the audit log is told, if it records this request.
    pub record: Mutex<Option<Box<Record>>>,
    /// What admission says beside its verdict.
    pub notes: Notes,
    /// How the limiter classified it.
    pub flow: Option<Arc<Labels>>,
    /// `Sec-WebSocket-Accept` of the answer, if the client asks for a WebSocket.
    pub websocket: Option<String>,
}

impl Call {
    pub(super) fn of(request: &HttpRequest, registry: &Registry) -> Self {
        let query = Query::parse(request.query_string());
        let resource = path::parse(request.path());
        let verb = verb(request.method(), resource.as_ref(), &query);
        let known = resource
            .as_ref()
            .and_then(|r| registry.known_resource(&r.group, &r.version, &r.resource));
        let one = |name: &str| {
            let value = request.headers().get(name).and_then(|v| v.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let accept: Vec<_> =
            request.headers().get_all("accept").filter_map(|v| v.to_str().ok()).collect();
        Self {
            path: request.path().to_owned(),
            accept: accept.join(","),
            content_type: one("content-type"),
            user_agent: one("user-agent"),
            if_none_match: one("if-none-match"),
            gzip: one("accept-encoding").split(',').any(|e| e.trim().starts_with("gzip")),
            user: UserInfo::default(),
            connection: connection_token(request),
            websocket: socket::accepted(request),
            query,
            resource,
            known,
            verb,
            audit_id: audit_id(request),
            received: None,
            record: Mutex::new(None),
            notes: Notes::open(),
            flow: None,
        }
    }

    /// Tells the audit log something, if it records this request.
    pub(super) fn record(&self, tell: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut *self.record.lock() {
            tell(record);
        }
    }

    /// Whether the answer has no end of its own.
    pub(super) fn is_long_running(&self) -> bool {
        let Some(resource) = &self.resource else { return false };
        self.verb == "watch"
            || matches!(
                resource.subresource.as_str(),
                "log" | "exec" | "attach" | "portforward" | "proxy"
            )
    }

    /// Whether this may change state.
    pub(super) fn is_change(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch" | "head" | "options")
    }

    /// How long the request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.query.timeout().unwrap_or(REQUEST_TIMEOUT).min(REQUEST_TIMEOUT)
    }

    /// What the authorizer is asked.
    pub(super) fn attributes(&self) -> Attributes<'_> {
        let Some(r) = &self.resource else { return Attributes::path(self.verb, &self.path) };
        let mut name = r.name.as_str();
        if name.is_empty() && matches!(self.verb, "list" | "watch" | "deletecollection") {
            name = selected_name(self.query.get("fieldSelector"));
        }
        Attributes {
            verb: self.verb,
            group: &r.group,
            version: &r.version,
            resource: &r.resource,
            subresource: &r.subresource,
            namespace: &r.namespace,
            name,
            path: "",
        }
    }

    /// The kind of the resource, if it is served in this scope as far as this member knows.
    pub(super) fn known_kind(&self) -> Option<&'static Kind> {
        self.known.filter(|kind| self.fits_scope(kind))
    }

    /// The kind of the resource.
    ///
    /// # Errors
    /// 404 when it is not served in this scope; 503 when that cannot be found out.
    pub(super) async fn kind(&self, registry: &Registry) -> Result<&'static Kind, Status> {
        let r = self.resource.as_ref().ok_or_else(Status::unknown_resource)?;
        let kind = match self.known {
            Some(kind) => kind,
            None => registry.resource(&r.group, &r.version, &r.resource).await?,
        };
        if self.fits_scope(kind) { Ok(kind) } else { Err(Status::unknown_resource()) }
    }

    fn fits_scope(&self, kind: &Kind) -> bool {
        let Some(r) = &self.resource else { return false };
        let in_namespace = !r.namespace.is_empty() && kind != kind::NAMESPACE;
        if kind.namespaced {
            // Across namespaces there are lists and watches only, and reviews without namespace.
            in_namespace || r.name.is_empty()
        } else {
            !in_namespace
        }
    }

    /// Namespace (empty for cluster-scoped kinds) and name of the object.
    pub(super) fn object_name(&self) -> (&str, &str) {
        self.resource.as_ref().map_or(("", ""), |r| (r.namespace.as_str(), r.name.as_str()))
    }

    /// Format, indentation and compression without regard to the rendering; for errors.
    pub(super) fn error_looks(&self) -> Looks {
        self.looks(Accepted { format: accept::error_format(&self.accept), ..Accepted::default() })
    }

    /// Negotiates the answer.
    ///
    /// # Errors
    /// 406.
    pub(super) fn negotiate(&self, offer: Offer) -> Result<(Accepted, Looks), Status> {
        let accepted = accept::negotiate(&self.accept, offer)?;
        Ok((accepted, self.looks(accepted)))
    }

    fn looks(&self, accepted: Accepted) -> Looks {
        let browser = ["curl", "Wget", "Mozilla/5.0"];
        let pretty = self
            .query
            .flag("pretty")
            .unwrap_or_else(|| browser.iter().any(|agent| self.user_agent.starts_with(agent)));
        Looks { format: accepted.format, pretty, gzip: self.gzip }
    }

    /// `includeObject` of tables.
    ///
    /// # Errors
    /// 400 for an unknown value.
    pub(super) fn include(&self) -> Result<Include, Status> {
        match self.query.get("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::None),
            "Object" => Ok(Include::Object),
            other => {
                Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}")))
            }
        }
    }

    /// The options of a write; `kind` names them in errors.
    ///
    /// # Errors
    /// 422.
    pub(super) fn request_info(&self, kind: &str) -> Result<RequestInfo, Status> {
        Ok(RequestInfo {
            user: self.user.clone(),
            field_manager: self.query.field_manager(kind, &self.user_agent)?,
            field_validation: self.query.field_validation(kind)?,
            dry_run: self.query.dry_run(kind)?,
            notes: self.notes.clone(),
            ..RequestInfo::default()
        })
    }
}

/// Longest id of a client's that is taken over.
const MAX_AUDIT_ID_BYTES: usize = 64;

fn audit_id(request: &HttpRequest) -> HeaderValue {
    let given = request.headers().get("audit-id").filter(|id| id.len() <= MAX_AUDIT_ID_BYTES);
    given.filter(|id| !id.is_empty()).cloned().unwrap_or_else(|| {
        // From this thread's generator: asking the kernel would be a system call per request.
        let made = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        HeaderValue::from_str(&made.to_string()).unwrap_or(HeaderValue::from_static("0"))
    })
}

fn verb(method: &Method, resource: Option<&ResourcePath>, query: &Query) -> &'static str {
    let Some(resource) = resource else {
        return match *method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::OPTIONS => "options",
            _ => "",
        };
    };
    let one = !resource.name.is_empty();
    match *method {
        Method::GET | Method::HEAD if resource.legacy_watch => "watch",
        Method::GET | Method::HEAD if one => "get",
        Method::GET | Method::HEAD if query.is_set("watch") => "watch",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        Method::DELETE => "deletecollection",
        _ => "",
    }
}

/// The name a field selector `metadata.name=x` asks for.
fn selected_name(selector: &str) -> &str {
    selector
        .split(',')
        .find_map(|term| term.trim().strip_prefix("metadata.name=").filter(|_| !term.contains('!')))
        .map_or("", |name| name.trim_start_matches('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs() {
        for (method, path, query, want) in [
            (Method::GET, "/api/v1/pods", "", "list"),
            (Method::GET, "/api/v1/pods", "watch=true", "watch"),
            (Method::GET, "/api/v1/watch/pods", "", "watch"),
            (Method::GET, "/api/v1/namespaces/x/pods/p", "watch=true", "get"),
            (Method::POST, "/api/v1/namespaces/x/pods", "", "create"),
            (Method::DELETE, "/api/v1/namespaces/x/pods", "", "deletecollection"),
            (Method::DELETE, "/api/v1/namespaces/x/pods/p", "", "delete"),
            (Method::GET, "/version", "", "get"),
            (Method::POST, "/debug/actors", "", "post"),
        ] {
            let resource = path::parse(path);
            assert_eq!(verb(&method, resource.as_ref(), &Query::parse(query)), want, "{path}");
        }
    }

    #[test]
    fn names_in_selectors() {
        assert_eq!(selected_name("metadata.name=x"), "x");
        assert_eq!(selected_name("spec.nodeName=n,metadata.name==y"), "y");
        assert_eq!(selected_name("metadata.name!=x"), "");
        assert_eq!(selected_name(""), "");
    }
}
