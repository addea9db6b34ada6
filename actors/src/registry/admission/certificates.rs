//! What the server decides of a CertificateSigningRequest: who asks, and which part each endpoint may
//! write (upstream: `pkg/registry/certificates/certificates/strategy.go` and the admission plugin
//! CertificateSubjectRestriction).

use base64::{Engine, prelude::BASE64_STANDARD};
use kabuki_api::{kind::CERTIFICATE_SIGNING_REQUEST, status::Status, validate::FieldError};
use serde_json::{Value, json};

use super::super::{
    object::text,
    options::{RequestInfo, Subresource},
};
use crate::auth::{
    API_CLIENT_SIGNER, CertificateRequest, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, MASTERS,
};

/// Conditions that only the approval endpoint writes.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

/// Signers of which a node may only ask for certificates of its own (NodeRestriction).
const NODE_SIGNERS: [&str; 2] = [KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER];

/// A new request: it says who asks, whatever the client wrote there.
pub(super) fn create(info: &RequestInfo, object: &mut Value) -> Result<(), Status> {
    let name = text(&object["metadata"], "name").to_owned();
    let user = info.user.to_value();
    if let Some(spec) = object["spec"].as_object_mut() {
        for (field, from) in
            [("username", "username"), ("uid", "uid"), ("groups", "groups"), ("extra", "extra")]
        {
            match user.get(from) {
                Some(value) => spec.insert(field.to_owned(), value.clone()),
                None => spec.remove(field),
            };
        }
    }
    if let Some(map) = object.as_object_mut() {
        map.insert("status".to_owned(), json!({}));
    }
    let pem = BASE64_STANDARD
        .decode(text(&object["spec"], "request"))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    let request = match CertificateRequest::parse(&pem) {
        Ok(request) => request,
        // Validation refuses it, together with whatever else is wrong.
        Err(_) if !pem.contains("BEGIN CERTIFICATE REQUEST") => return Ok(()),
        Err(why) => {
            let error = FieldError::invalid("spec.request", object["spec"]["request"].clone(), why);
            return Err(Status::invalid(CERTIFICATE_SIGNING_REQUEST, &name, &[error]));
        }
    };
    if let Some(node) = info.user.node_name()
        && NODE_SIGNERS.contains(&text(&object["spec"], "signerName"))
        && request.common_name != info.user.name
    {
        let message = format!("can only create a node CSR with CN={}", info.user.name);
        tracing::debug!(node, "a node asked for the certificate of another");
        return Err(Status::forbidden(CERTIFICATE_SIGNING_REQUEST, &name, &message));
    }
    let masters = request.organizations.iter().any(|o| o == MASTERS);
    if masters && text(&object["spec"], "signerName") == API_CLIENT_SIGNER {
        let message =
            format!("use of {API_CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return Err(Status::forbidden(CERTIFICATE_SIGNING_REQUEST, &name, &message));
    }
    Ok(())
}

/// A change: the spec never changes; decisions only at the approval endpoint, the rest of the status
/// only at the status endpoint. Times are filled in.
pub(in crate::registry) fn update(old: &Value, new: &mut Value, sub: Subresource, now: &str) {
    new["spec"] = old["spec"].clone();
    let is_decision = |c: &Value| DECISIONS.contains(&text(c, "type"));
    let conditions = |of: &Value, decisions: bool| -> Vec<Value> {
        let all = of["status"]["conditions"].as_array().into_iter().flatten();
        all.filter(|c| is_decision(c) == decisions).cloned().collect()
    };
    let (from_decisions, from_rest): (&Value, &Value) = match sub {
        Subresource::Approval => (&*new, old),
        Subresource::Status => (old, &*new),
        _ => (old, old),
    };
    let mut kept = conditions(from_decisions, true);
    kept.extend(conditions(from_rest, false));
    let certificate = from_rest["status"]["certificate"].clone();
    for condition in &mut kept {
        complete(condition, old, now);
    }
    let mut status = json!({});
    if !kept.is_empty() {
        status["conditions"] = kept.into();
    }
    if !certificate.is_null() {
        status["certificate"] = certificate;
    }
    new["status"] = status;
}

fn complete(condition: &mut Value, old: &Value, now: &str) {
    let before = old["status"]["conditions"].as_array().into_iter().flatten();
    let before = before.into_iter().find(|c| c["type"] == condition["type"]);
    if text(condition, "lastUpdateTime").is_empty() {
        condition["lastUpdateTime"] = now.into();
    }
    if text(condition, "lastTransitionTime").is_empty() {
        let same = before.filter(|b| b["status"] == condition["status"]);
        let since = same.map_or(now, |b| text(b, "lastTransitionTime"));
        condition["lastTransitionTime"] = since.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{UserInfo, test_request};

    fn request(groups: &[&str]) -> Value {
        json!({"metadata": {"name": "r"}, "spec": {"username": "forged", "signerName": API_CLIENT_SIGNER,
            "request": BASE64_STANDARD.encode(test_request("jane", groups, &[]))},
            "status": {"certificate": "eA=="}})
    }

    #[test]
    fn who_asks_is_what_the_server_knows() {
        let info = RequestInfo::of(UserInfo::certificate("jane", &["team".into()]));
        let mut made = request(&[]);
        create(&info, &mut made).unwrap();
        assert_eq!(made["spec"]["username"], "jane");
        assert_eq!(made["spec"]["groups"], json!(["team", "system:authenticated"]));
        assert_eq!(made["status"], json!({}));
        let refused = create(&info, &mut request(&["system:masters"])).unwrap_err();
        assert_eq!(refused.code, 403);
        let mut broken = request(&[]);
        broken["spec"]["request"] = "bm9uc2Vuc2U=".into();
        // What is no PEM is left to validation.
        create(&info, &mut broken).unwrap();
        let pem = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
        broken["spec"]["request"] = BASE64_STANDARD.encode(pem).into();
        assert_eq!(create(&info, &mut broken).unwrap_err().code, 422);
    }

    #[test]
    fn each_endpoint_writes_its_part() {
        let old = json!({"metadata": {"name": "r"}, "spec": {"signerName": "s"}, "status": {}});
        let wanted = json!({"metadata": {"name": "r"}, "spec": {"signerName": "t"},
            "status": {"certificate": "eA==", "conditions": [
                {"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]}});
        let written = |sub: Subresource| {
            let mut new = wanted.clone();
            update(&old, &mut new, sub, "2026-01-01T00:00:00Z");
            assert_eq!(new["spec"], old["spec"]);
            let types: Vec<String> = new["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|c| text(c, "type").to_owned())
                .collect();
            (types.join(" "), new["status"]["certificate"].is_string())
        };
        assert_eq!(written(Subresource::Main), (String::new(), false));
        assert_eq!(written(Subresource::Approval), ("Approved".to_owned(), false));
        assert_eq!(written(Subresource::Status), ("Failed".to_owned(), true));
        let mut decided = old.clone();
        decided["status"]["conditions"] = json!([{"type": "Approved", "status": "True",
            "lastTransitionTime": "2025-01-01T00:00:00Z"}]);
        let mut again = old.clone();
        again["status"]["conditions"] = json!([{"type": "Approved", "status": "True"}]);
        update(&decided, &mut again, Subresource::Approval, "2026-01-01T00:00:00Z");
        let condition = &again["status"]["conditions"][0];
        assert_eq!(condition["lastTransitionTime"], "2025-01-01T00:00:00Z");
        assert_eq!(condition["lastUpdateTime"], "2026-01-01T00:00:00Z");
    }
}
