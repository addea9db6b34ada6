//! One event of the log and its JSON (`audit.k8s.io/v1`, apiserver `pkg/audit/request.go`). Bodies
//! travel as the bytes they came in and are read by the writer, not by whoever serves the request.

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use bytes::Bytes;
use flate2::read::GzDecoder;
use kabuki_api::{
    decode::{self, Media},
    kind::Kind,
    status::Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{
    OffsetDateTime, format_description::StaticFormatDescription, macros::format_description,
};

use super::policy::{Level, Stage};

/// Bytes of one unpacked body.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Microseconds, as `metav1.MicroTime` is written.
const MICRO_TIME: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// What a request is about.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Resource (plural).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Uid, where the request's body says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// API group; empty for core.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// API version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Resource version, where the request's body says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// A body as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub content_type: String,
    /// Whether the bytes are compressed with gzip.
    pub gzip: bool,
}

/// One event, before it is written.
#[derive(Debug, Clone)]
pub struct Event {
    /// How much is recorded.
    pub level: Level,
    /// Id of the request, the same in all its events and in the answer's `Audit-Id`.
    pub id: String,
    /// When in the request's life.
    pub stage: Stage,
    /// Path and query.
    pub uri: String,
    /// Verb.
    pub verb: &'static str,
    /// Who asked; `Null` when nobody could be authenticated.
    pub user: Value,
    /// As whom they asked.
    pub impersonated: Option<Value>,
    /// Where from: what proxies say, then the peer.
    pub source_ips: Vec<String>,
    /// `User-Agent`.
    pub user_agent: String,
    /// What about; absent for paths.
    pub object: Option<ObjectRef>,
    /// Kind of the resource, to decode protobuf bodies with.
    pub kind: Option<&'static Kind>,
    /// Whether `metadata.managedFields` is left out of bodies.
    pub omit_managed_fields: bool,
    /// When the request came.
    pub received: OffsetDateTime,
    /// When this stage was reached.
    pub at: OffsetDateTime,
    /// HTTP status code, once there is one.
    pub code: Option<u16>,
    /// The error answered.
    pub failure: Option<Status>,
    /// The request's body, where something of it is recorded.
    pub request: Option<Body>,
    /// The answer's body, where something of it is recorded.
    pub response: Option<Body>,
    /// Annotations, such as the authorizer's decision.
    pub annotations: BTreeMap<Cow<'static, str>, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    kind: &'static str,
    api_version: &'static str,
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<&'a Value>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[String]>::is_empty")]
    source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<Value>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<Cow<'static, str>, String>,
}

impl Event {
    /// Bytes this event holds on to.
    pub fn weight(&self) -> usize {
        let bodies = [&self.request, &self.response];
        let bodies: usize = bodies.into_iter().flatten().map(|b| b.bytes.len()).sum();
        bodies + self.uri.len() + self.user_agent.len() + size_of::<Self>()
    }

    /// Appends the event as one line of JSON.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let request = self.request.as_ref().and_then(|body| self.read_request(body));
        let response = self.response.as_ref().and_then(|body| self.read_response(body));
        let mut object = self.object.clone();
        if let (Some(object), Some(request)) = (&mut object, &request) {
            complete(object, request);
        }
        let line = Line {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.level.name(),
            audit_id: &self.id,
            stage: self.stage.name(),
            request_uri: &self.uri,
            verb: self.verb,
            user: &self.user,
            impersonated_user: self.impersonated.as_ref(),
            source_ips: &self.source_ips,
            user_agent: &self.user_agent,
            object_ref: object,
            response_status: self.response_status(response.as_ref()),
            request_object: request.filter(|_| self.level >= Level::Request),
            response_object: response.filter(|_| self.level >= Level::RequestResponse),
            request_received_timestamp: stamp(self.received),
            stage_timestamp: stamp(self.at),
            annotations: &self.annotations,
        };
        // Writing into memory cannot fail, and all keys are strings.
        let _ = serde_json::to_writer(&mut *out, &line);
        out.push(b'\n');
    }

    fn response_status(&self, response: Option<&Value>) -> Option<Value> {
        let code = self.code?;
        let mut status = json!({"metadata": {}});
        let said = match (&self.failure, response) {
            (Some(failure), _) => serde_json::to_value(failure).unwrap_or_default(),
            // The answer of a deletion is a Status as well.
            (None, Some(body)) if body["kind"] == "Status" => body.clone(),
            _ => Value::Null,
        };
        for field in ["status", "message", "reason", "details"] {
            if let Some(value) = said.get(field) {
                status[field] = value.clone();
            }
        }
        status["code"] = code.into();
        Some(status)
    }

    fn read_request(&self, body: &Body) -> Option<Value> {
        let media = Media::from_content_type(&body.content_type);
        let patch = self.verb == "patch";
        let read = match media {
            Some(Media::Protobuf) => decode::decode(&body.bytes, Media::Protobuf, self.kind?),
            _ if patch && body.content_type.contains("yaml") => {
                decode::decode_value(&body.bytes, Media::Yaml)
            }
            Some(media) => decode::decode_value(&body.bytes, media),
            None if patch => decode::decode_value(&body.bytes, Media::Json),
            None => return None,
        };
        read.ok().map(|decoded| self.trimmed(decoded.object))
    }

    fn read_response(&self, body: &Body) -> Option<Value> {
        let mut unpacked = Vec::new();
        let bytes = if body.gzip {
            let mut decoder = GzDecoder::new(&body.bytes[..]).take(BODY_BYTES_MAX);
            decoder.read_to_end(&mut unpacked).ok()?;
            &unpacked[..]
        } else {
            &body.bytes[..]
        };
        let value: Value = match Media::from_content_type(&body.content_type)? {
            Media::Json => serde_json::from_slice(bytes).ok()?,
            Media::Yaml => serde_yaml::from_slice(bytes).ok()?,
            Media::Protobuf => return None,
        };
        Some(self.trimmed(value))
    }

    fn trimmed(&self, mut object: Value) -> Value {
        if !self.omit_managed_fields {
            return object;
        }
        let drop = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        drop(&mut object);
        for items in ["items", "rows"] {
            let Some(list) = object.get_mut(items).and_then(Value::as_array_mut) else { continue };
            for item in list {
                drop(item);
                if let Some(inner) = item.get_mut("object") {
                    drop(inner);
                }
            }
        }
        object
    }
}

/// Adds to a reference what only the body says: the name of what is created, most of all.
fn complete(object: &mut ObjectRef, body: &Value) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Meta {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
    }
    let meta: Meta = Meta::deserialize(&body["metadata"]).unwrap_or_default();
    let fill = |field: &mut String, value: String| {
        if field.is_empty() {
            *field = value;
        }
    };
    fill(&mut object.name, meta.name);
    fill(&mut object.namespace, meta.namespace);
    fill(&mut object.uid, meta.uid);
    fill(&mut object.resource_version, meta.resource_version);
}

fn stamp(at: OffsetDateTime) -> String {
    at.format(MICRO_TIME).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use time::macros::datetime;

    use super::*;

    pub fn event(level: Level, stage: Stage) -> Event {
        let at = datetime!(2026-01-02 03:04:05.678901 UTC);
        Event {
            level,
            id: "i".into(),
            stage,
            uri: "/api/v1/namespaces/d/secrets?dryRun=All".into(),
            verb: "create",
            user: json!({"username": "u"}),
            impersonated: None,
            source_ips: vec!["127.0.0.1".into()],
            user_agent: "test".into(),
            object: Some(ObjectRef { resource: "secrets".into(), ..ObjectRef::default() }),
            kind: None,
            omit_managed_fields: true,
            received: at,
            at,
            code: Some(201),
            failure: None,
            request: None,
            response: None,
            annotations: BTreeMap::from([(
                "authorization.k8s.io/decision".into(),
                "allow".to_owned(),
            )]),
        }
    }

    fn line(event: &Event) -> Value {
        let mut out = Vec::new();
        event.write_line(&mut out);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    fn with_bodies(level: Level) -> Event {
        let body = json!({"kind": "Secret", "metadata": {"name": "s", "uid": "7",
            "managedFields": [{}]}, "data": {"a": "eA=="}});
        let bytes = Bytes::from(body.to_string());
        let body = Body { bytes, content_type: "application/json".into(), gzip: false };
        Event {
            request: Some(body.clone()),
            response: Some(body),
            ..event(level, Stage::ResponseComplete)
        }
    }

    #[test]
    fn a_level_holds_bodies_only_where_it_says_so() {
        let metadata = line(&with_bodies(Level::Metadata));
        assert_eq!(metadata["requestReceivedTimestamp"], "2026-01-02T03:04:05.678901Z");
        assert_eq!(metadata["objectRef"], json!({"resource": "secrets", "name": "s", "uid": "7"}));
        assert_eq!(metadata["responseStatus"], json!({"metadata": {}, "code": 201}));
        assert!(
            metadata.get("requestObject").is_none() && metadata.get("responseObject").is_none()
        );
        let request = line(&with_bodies(Level::Request));
        assert_eq!(request["requestObject"]["data"], json!({"a": "eA=="}));
        assert!(request["requestObject"]["metadata"].get("managedFields").is_none());
        assert!(request.get("responseObject").is_none());
        let both = line(&with_bodies(Level::RequestResponse));
        assert_eq!(both["responseObject"]["metadata"], json!({"name": "s", "uid": "7"}));
    }

    #[test]
    fn failures_and_bodies_that_cannot_be_read() {
        let mut event = with_bodies(Level::RequestResponse);
        event.failure = Some(Status::unauthorized("no"));
        event.code = Some(401);
        event.request.as_mut().unwrap().bytes = Bytes::from_static(b"{");
        let line = line(&event);
        assert_eq!(line["responseStatus"]["reason"], "Unauthorized");
        assert_eq!(line["responseStatus"]["code"], 401);
        assert!(line.get("requestObject").is_none());
        assert!(line["objectRef"].get("name").is_none());
    }
}
