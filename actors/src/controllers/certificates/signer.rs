//! Signs approved requests of the built-in signers (upstream: `signer/signer.go`).

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use kabuki_api::kind::{CERTIFICATE_SIGNING_REQUEST, Kind};
use serde_json::Value;

use super::{has, is_issued, request_pem, usages, with_condition};
use crate::{
    auth::{CertificateRequest, CertificateSigner},
    controllers::{
        framework::{Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::View,
};

/// Shortest life of a certificate, whatever is asked for.
const LIFETIME_MIN: Duration = Duration::from_secs(600);

/// Signs what was approved.
#[derive(Clone)]
pub(crate) struct Signer {
    pub authority: Arc<dyn CertificateSigner>,
}

impl Signer {
    /// The certificate; `None` for a signer that is not built in.
    fn sign(&self, value: &Value) -> Option<Result<String, String>> {
        let signer = value["spec"]["signerName"].as_str().unwrap_or_default();
        let pem = request_pem(value).unwrap_or_default();
        let request = match CertificateRequest::parse(&pem) {
            Ok(request) => request,
            Err(error) => {
                // Only those it is about say so.
                return CertificateRequest::default().usable_by(signer, &[]).map(|_| Err(error));
            }
        };
        let usage = match request.usable_by(signer, &usages(value))? {
            Ok(usage) => usage,
            Err(error) => return Some(Err(error)),
        };
        let seconds = value["spec"]["expirationSeconds"].as_u64();
        let lifetime = seconds.map(|s| Duration::from_secs(s).max(LIFETIME_MIN));
        Some(self.authority.sign(&pem, &request, usage, lifetime))
    }
}

impl Controller for Signer {
    const NAME: &'static str = "certificatesigningrequest-signing-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CERTIFICATE_SIGNING_REQUEST]
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(object) = view.get(CERTIFICATE_SIGNING_REQUEST, "", &key.name) else {
            return Ok(Plan::done());
        };
        let value = object.value();
        let due = has(value, "Approved") && !has(value, "Denied") && !has(value, "Failed");
        if !due || is_issued(value) {
            return Ok(Plan::done());
        }
        let changed = match self.sign(value) {
            None => return Ok(Plan::done()),
            Some(Ok(certificate)) => {
                let mut value = value.clone();
                value["status"]["certificate"] = BASE64_STANDARD.encode(certificate).into();
                value
            }
            Some(Err(why)) => {
                with_condition(&object, "Failed", ("SignerValidationFailure", &why), now)
            }
        };
        Ok(Plan::one(Command::update_status(&object, changed)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        auth::{API_CLIENT_SIGNER, CertificateUse, test_request},
        registry::MemView,
    };

    #[derive(Debug)]
    struct Stamp;

    impl CertificateSigner for Stamp {
        fn sign(
            &self,
            _pem: &str,
            request: &CertificateRequest,
            usage: CertificateUse,
            lifetime: Option<Duration>,
        ) -> Result<String, String> {
            Ok(format!("{} {} {lifetime:?}", request.common_name, usage.client))
        }
    }

    fn decided(signer: &str, usages: &[&str], conditions: &[&str]) -> Option<Value> {
        let conditions: Vec<Value> =
            conditions.iter().map(|c| json!({"type": c, "status": "True"})).collect();
        let request = BASE64_STANDARD.encode(test_request("jane", &[], &[]));
        let view = MemView::new().with(
            CERTIFICATE_SIGNING_REQUEST,
            json!({"metadata": {"name": "r"}, "status": {"conditions": conditions},
                "spec": {"request": request, "signerName": signer, "usages": usages,
                    "expirationSeconds": 700}}),
        );
        let mut controller = Signer { authority: Arc::new(Stamp) };
        let plan = controller.reconcile(&view, &Key::new("", "r"), Time::default()).unwrap();
        match plan.commands().as_slice() {
            [] => None,
            [Command::Update { object, .. }] => Some(object["status"].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_approved_is_signed() {
        let usages = ["client auth"];
        let signed = decided(API_CLIENT_SIGNER, &usages, &["Approved"]).unwrap();
        assert_eq!(signed["certificate"], BASE64_STANDARD.encode("jane true Some(700s)"));
        for conditions in [&[][..], &["Denied"], &["Approved", "Failed"], &["Approved", "Denied"]] {
            assert!(decided(API_CLIENT_SIGNER, &usages, conditions).is_none(), "{conditions:?}");
        }
        assert!(decided("example.com/mine", &usages, &["Approved"]).is_none());
        let refused = decided(API_CLIENT_SIGNER, &["server auth"], &["Approved"]).unwrap();
        assert_eq!(refused["conditions"][1]["reason"], "SignerValidationFailure");
        assert!(refused["certificate"].is_null());
    }
}
