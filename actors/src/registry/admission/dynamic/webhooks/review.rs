//! `AdmissionReview`: what a webhook is asked and what it may answer (apiserver
//! `pkg/admission/plugin/webhook/request/admissionreview.go`).

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_api::{
    kind::{GroupVersionKind, Kind},
    status::Status,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::{Attributes, gvk},
    hook::ReviewVersion,
};

/// The request of a review, and how its answer must look.
pub(super) struct Review {
    pub uid: String,
    pub version: ReviewVersion,
    pub body: Vec<u8>,
}

/// What a webhook answered, verified.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub allowed: bool,
    /// Operations of a JSON patch.
    pub patch: Option<Vec<u8>>,
    pub result: Option<Value>,
    pub warnings: Vec<String>,
    pub annotations: BTreeMap<String, String>,
}

impl ReviewVersion {
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

fn kind_value(gvk: GroupVersionKind) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn resource_value(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "resource": kind.plural})
}

impl Review {
    /// The review of a request whose objects are already in the form of `kind`.
    pub(super) fn new(
        attributes: &Attributes<'_>,
        kind: &'static Kind,
        version: ReviewVersion,
        object: &Value,
        old: Option<&Value>,
    ) -> Self {
        let uid = uuid::Uuid::new_v4().to_string();
        let mut request = request(attributes, kind);
        request.insert("uid".to_owned(), uid.as_str().into());
        request.insert("object".to_owned(), object.clone());
        request.insert("oldObject".to_owned(), old.cloned().unwrap_or_default());
        let body = json!({"kind": "AdmissionReview", "apiVersion": version.api_version(),
            "request": request});
        Self { uid, version, body: body.to_string().into_bytes() }
    }
}

/// The request of a review as a webhook sees it that wants `kind`, without its uid and its objects.
pub(super) fn request(attributes: &Attributes<'_>, kind: &'static Kind) -> Map<String, Value> {
    // A subresource's body is the same in every version of its parent.
    let own = attributes.body == gvk(attributes.kind);
    let seen = if own { gvk(kind) } else { attributes.body };
    let mut request = Map::new();
    let mut set = |name: &str, value: Value| {
        request.insert(name.to_owned(), value);
    };
    set("kind", kind_value(seen));
    set("resource", resource_value(kind));
    set("requestKind", kind_value(attributes.body));
    set("requestResource", resource_value(attributes.kind));
    if !attributes.subresource.is_empty() {
        set("subResource", attributes.subresource.into());
        set("requestSubResource", attributes.subresource.into());
    }
    for (field, value) in [("name", attributes.name), ("namespace", attributes.namespace)] {
        if !value.is_empty() {
            set(field, value.into());
        }
    }
    set("operation", attributes.operation.name().into());
    set("userInfo", attributes.info.user.to_value());
    set("dryRun", attributes.dry_run().into());
    set("options", attributes.options());
    request
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Value>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// Reads an answer and checks that it is one to `review`.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub(super) fn verify(review: &Review, mutating: bool, body: &[u8]) -> Result<Answer, String> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|e| format!("couldn't get version/kind; json parse error: {e}"))?;
    let Some(response) = body.response else {
        return Err("webhook response was absent".to_owned());
    };
    let mut patch_type = response.patch_type;
    let has_patch = response.patch.as_ref().is_some_and(|p| !p.is_empty());
    if review.version == ReviewVersion::V1 {
        verify_v1(
            review,
            mutating,
            has_patch,
            patch_type.as_deref(),
            &body.api_version,
            &body.kind,
            &response.uid,
        )?;
    } else if has_patch {
        // Older webhooks have no other kind of patch, and need not say so.
        patch_type.get_or_insert_with(|| "JSONPatch".to_owned());
    }
    let patch = match response.patch {
        Some(patch) if has_patch && mutating => {
            let decoded = STANDARD.decode(patch);
            Some(decoded.map_err(|e| format!("illegal base64 data in response.patch: {e}"))?)
        }
        _ => None,
    };
    if let Some(other) = patch_type.filter(|t| patch.is_some() && t != "JSONPatch") {
        return Err(format!("unsupported patch type {other:?}"));
    }
    Ok(Answer {
        allowed: response.allowed,
        patch,
        result: response.status,
        warnings: response.warnings.unwrap_or_default(),
        annotations: response.audit_annotations.unwrap_or_default(),
    })
}

fn verify_v1(
    review: &Review,
    mutating: bool,
    has_patch: bool,
    patch_type: Option<&str>,
    api_version: &str,
    kind: &str,
    uid: &str,
) -> Result<(), String> {
    if uid != review.uid {
        return Err(format!("expected response.uid={:?}, got {uid:?}", review.uid));
    }
    if api_version != review.version.api_version() || kind != "AdmissionReview" {
        let shown = if api_version.is_empty() { "/" } else { api_version };
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {shown}, Kind={kind}"
        ));
    }
    match (mutating, has_patch, patch_type) {
        (true, true, None) => {
            Err("webhook returned response.patch but not response.patchType".to_owned())
        }
        (true, false, Some(_)) => {
            Err("webhook returned response.patchType but not response.patch".to_owned())
        }
        (true, true, Some("")) => {
            Err(r#"webhook returned invalid response.patchType of """#.to_owned())
        }
        (false, true, _) => Err("validating webhook may not return response.patch".to_owned()),
        (false, _, Some(_)) => {
            Err("validating webhook may not return response.patchType".to_owned())
        }
        _ => Ok(()),
    }
}

/// The error of a request that a webhook refused (upstream's `ToStatusErr`).
pub(super) fn denied(name: &str, result: Option<Value>) -> Status {
    let result = result.unwrap_or_default();
    let text = |field: &str| result[field].as_str().unwrap_or_default();
    let code = result["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let mut status = Status::failure(code, text("reason"), text("message"));
    status.details = serde_json::from_value(result["details"].clone()).unwrap_or_default();
    if !(400..600).contains(&status.code) {
        // A code that is no HTTP error would not reach the client as one.
        status.code = 400;
    }
    let by = format!("admission webhook {name:?} denied the request");
    status.message = if !status.message.is_empty() {
        format!("{by}: {}", status.message)
    } else if !status.reason.is_empty() {
        format!("{by}: {}", status.reason)
    } else {
        format!("{by} without explanation")
    };
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(version: ReviewVersion) -> Review {
        Review { uid: "123".into(), version, body: Vec::new() }
    }

    fn answer(response: Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn answers_are_verified() {
        let v1 = review(ReviewVersion::V1);
        for (mutating, response, want) in [
            (true, json!(null), "webhook response was absent"),
            (true, json!({"uid": "9"}), r#"expected response.uid="123", got "9""#),
            (
                true,
                json!({"uid": "123", "patch": "W10="}),
                "webhook returned response.patch but not response.patchType",
            ),
            (
                true,
                json!({"uid": "123", "patchType": "JSONPatch"}),
                "webhook returned response.patchType but not response.patch",
            ),
            (
                true,
                json!({"uid": "123", "patchType": "Merge", "patch": "W10="}),
                r#"unsupported patch type "Merge""#,
            ),
            (
                false,
                json!({"uid": "123", "patchType": "JSONPatch", "patch": "W10="}),
                "validating webhook may not return response.patch",
            ),
        ] {
            assert_eq!(verify(&v1, mutating, &answer(response)).unwrap_err(), want);
        }
        let other =
            json!({"apiVersion": "admission.k8s.io/v2", "kind": "X", "response": {"uid": "123"}});
        assert_eq!(
            verify(&v1, true, other.to_string().as_bytes()).unwrap_err(),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2, Kind=X"
        );
        let good = answer(
            json!({"uid": "123", "allowed": true, "patchType": "JSONPatch", "patch": "W10="}),
        );
        assert_eq!(verify(&v1, true, &good).unwrap().patch.unwrap(), b"[]");
        let old = review(ReviewVersion::V1Beta1);
        let lax = json!({"response": {"allowed": true, "patch": "W10="}}).to_string();
        assert_eq!(verify(&old, true, lax.as_bytes()).unwrap().patch.unwrap(), b"[]");
        assert!(verify(&v1, true, b"nonsense").is_err());
    }

    #[test]
    fn refusals_say_who_refused() {
        for (result, code, message) in [
            (None, 400, r#"admission webhook "w" denied the request without explanation"#),
            (
                Some(json!({"message": "no", "code": 403})),
                403,
                r#"admission webhook "w" denied the request: no"#,
            ),
            (
                Some(json!({"reason": "Forbidden", "code": 200})),
                400,
                r#"admission webhook "w" denied the request: Forbidden"#,
            ),
            (
                Some(json!("nonsense")),
                400,
                r#"admission webhook "w" denied the request without explanation"#,
            ),
        ] {
            let status = denied("w", result);
            assert_eq!((status.code, status.message.as_str()), (code, message));
            assert_eq!(status.status, "Failure");
        }
    }
}
