//! Approves the client certificates of nodes (upstream: `approver/sarapprove.go`).

use std::sync::Arc;

use kabuki_api::kind::{CERTIFICATE_SIGNING_REQUEST, Kind};
use serde_json::Value;

use super::{has, is_issued, request_pem, usages, with_condition};
use crate::{
    auth::{Attributes, Authorizer, CertificateRequest, KUBELET_CLIENT_SIGNER, UserInfo},
    controllers::{
        framework::{Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Subresource, View},
};

/// Whether a user may create a subresource of CertificateSigningRequest, which no endpoint serves:
/// it stands for the right to such a certificate.
type MayAsk = Arc<dyn Fn(&UserInfo, &str) -> bool + Send + Sync>;

/// Approves requests whose requester is allowed to have the certificate.
#[derive(Clone)]
pub(crate) struct Approver {
    may: MayAsk,
}

impl Approver {
    /// One that asks `authorizer`.
    pub(crate) fn new(authorizer: Authorizer) -> Self {
        let may = move |user: &UserInfo, subresource: &str| {
            let asked = Attributes {
                verb: "create",
                group: "certificates.k8s.io",
                version: "v1",
                resource: "certificatesigningrequests",
                subresource,
                ..Attributes::default()
            };
            authorizer.decide(user, &asked).is_some()
        };
        Self { may: Arc::new(may) }
    }
}

fn requester(request: &Value) -> UserInfo {
    let spec = &request["spec"];
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec["extra"].as_object().into_iter().flatten();
    UserInfo {
        name: spec["username"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

impl Controller for Approver {
    const NAME: &'static str = "certificatesigningrequest-approving-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CERTIFICATE_SIGNING_REQUEST]
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(object) = view.get(CERTIFICATE_SIGNING_REQUEST, "", &key.name) else {
            return Ok(Plan::done());
        };
        let value = object.value();
        if is_issued(value) || has(value, "Approved") || has(value, "Denied") {
            return Ok(Plan::done());
        }
        let parsed = request_pem(value).and_then(|pem| CertificateRequest::parse(&pem).ok());
        let Some(request) = parsed else { return Ok(Plan::done()) };
        let is_node = value["spec"]["signerName"] == KUBELET_CLIENT_SIGNER
            && request.check_kubelet_client(&usages(value)).is_ok();
        if !is_node {
            return Ok(Plan::done());
        }
        let user = requester(value);
        let message = if user.name == request.common_name && (self.may)(&user, "selfnodeclient") {
            "Auto approving self kubelet client certificate after SubjectAccessReview."
        } else if (self.may)(&user, "nodeclient") {
            "Auto approving kubelet client certificate after SubjectAccessReview."
        } else {
            // Somebody may be given the right, or approve it.
            return Ok(Plan::done());
        };
        let value = with_condition(&object, "Approved", ("AutoApproved", message), now);
        Ok(Plan::one(Command::write(&object, value, Subresource::Approval)))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::json;

    use super::*;
    use crate::{auth::test_request, registry::MemView};

    fn decided(user: &str, right: &'static str, name: &str, groups: &[&str]) -> Option<Value> {
        let request = BASE64_STANDARD.encode(test_request(name, groups, &[]));
        let view = MemView::new().with(
            CERTIFICATE_SIGNING_REQUEST,
            json!({"metadata": {"name": "r"}, "spec": {"request": request, "username": user,
                "signerName": KUBELET_CLIENT_SIGNER, "usages": ["digital signature", "client auth"]}}),
        );
        let mut approver = Approver { may: Arc::new(move |_, asked| asked == right) };
        let plan = approver.reconcile(&view, &Key::new("", "r"), Time::default()).unwrap();
        match plan.commands().as_slice() {
            [] => None,
            [Command::Update { object, subresource: Subresource::Approval, .. }] => {
                Some(object["status"]["conditions"][0].clone())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nodes_get_what_they_may_have() {
        let (nodes, a) = (["system:nodes"], "system:node:a");
        let approved = decided(a, "selfnodeclient", a, &nodes).unwrap();
        assert_eq!(
            (&approved["type"], &approved["reason"]),
            (&json!("Approved"), &json!("AutoApproved"))
        );
        assert!(decided("bootstrap", "nodeclient", a, &nodes).is_some());
        assert!(decided("bootstrap", "selfnodeclient", a, &nodes).is_none(), "of another");
        assert!(decided(a, "", a, &nodes).is_none(), "without the right");
        assert!(decided(a, "selfnodeclient", a, &["system:masters"]).is_none(), "no node's");
    }
}
