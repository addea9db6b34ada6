//! The token subresource of ServiceAccount (`TokenRequest`).

use kabuki_api::{
    kind::{Kind, NODE, POD, SECRET, SERVICE_ACCOUNT, TOKEN_REQUEST},
    status::Status,
    validate::FieldError,
};
use serde_json::{Value, json};
use time::Duration;

use super::{
    object::{Object, text},
    options::RequestInfo,
    store::Registry,
    strategy::{stamp, strings},
};
use crate::auth::{BoundRef, Claims, KubernetesClaims, SubjectRef};

/// Lifetime when none is asked for, in seconds.
const DEFAULT_SECONDS: i64 = 3600;
/// Shortest lifetime, in seconds.
const SECONDS_MIN: i64 = 600;
/// Longest lifetime, in seconds.
const SECONDS_MAX: i64 = 1 << 32;
/// The lifetime the ServiceAccount admission plugin asks for. Such tokens live a year, because old
/// clients read the file once; `warnafter` says when they should have read it again.
const INJECTED_SECONDS: i64 = 3607;
const EXTENDED: Duration = Duration::days(365);

impl Registry {
    /// Issues a token for a service account; answers the TokenRequest with its status.
    ///
    /// # Errors
    /// 400 and 409 (bound object), 404, 422, 501 without keys, 503.
    pub async fn create_token(
        &self,
        info: &RequestInfo,
        ns: &str,
        name: &str,
        request: &Value,
    ) -> Result<Value, Status> {
        let Some(keys) = self.config().keys.clone() else {
            return Err(Status::not_implemented("issuing service account tokens without a key"));
        };
        let at = (ns, name, "token");
        let request = &*self.admit_body(info, SERVICE_ACCOUNT, at, TOKEN_REQUEST, request).await?;
        let account = self.get_consistent(SERVICE_ACCOUNT, ns, name, "").await?;
        let spec = &request["spec"];
        let seconds = check_seconds(spec)?;
        let issuer = &self.config().issuer;
        let mut audiences: Vec<String> =
            strings(&spec["audiences"]).into_iter().map(str::to_owned).collect();
        if audiences.is_empty() {
            audiences.push(issuer.clone());
        }
        let mut kubernetes = KubernetesClaims {
            namespace: ns.to_owned(),
            serviceaccount: SubjectRef { name: name.to_owned(), uid: account.uid().to_owned() },
            ..KubernetesClaims::default()
        };
        self.bind_token(info, ns, name, &spec["boundObjectRef"], &mut kubernetes)?;
        let now = self.now();
        let told = now + Duration::seconds(seconds);
        let mut expires = told;
        if seconds == INJECTED_SECONDS && kubernetes.pod.is_some() && audiences == [issuer.clone()]
        {
            kubernetes.warnafter = Some(told.unix_timestamp());
            expires = now + EXTENDED;
        }
        let claims = Claims {
            aud: audiences.clone(),
            exp: expires.unix_timestamp(),
            iat: now.unix_timestamp(),
            iss: issuer.clone(),
            jti: uuid::Uuid::new_v4().to_string(),
            nbf: now.unix_timestamp(),
            sub: format!("system:serviceaccount:{ns}:{name}"),
            kubernetes,
        };
        let token = keys.sign(&claims).map_err(Status::internal)?;
        let mut answer = json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": ns, "creationTimestamp": stamp(now)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": stamp(told)},
        });
        if spec["boundObjectRef"].is_object() {
            answer["spec"]["boundObjectRef"] = spec["boundObjectRef"].clone();
        }
        Ok(answer)
    }

    fn bind_token(
        &self,
        info: &RequestInfo,
        ns: &str,
        account: &str,
        reference: &Value,
        claims: &mut KubernetesClaims,
    ) -> Result<(), Status> {
        let caller = info.user.node_name();
        if !reference.is_object() {
            if let Some(node) = caller {
                let text = format!("node {node:?} can only request tokens bound to its pods");
                return Err(Status::forbidden(SERVICE_ACCOUNT, account, &text));
            }
            return Ok(());
        }
        let (kind, name) = (text(reference, "kind"), text(reference, "name"));
        match kind {
            "Pod" => {
                let pod = self.bound_object(POD, ns, name, reference)?;
                let spec = &pod.value()["spec"];
                let runs_as = text(spec, "serviceAccountName");
                if runs_as != account {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                    )));
                }
                let node = text(spec, "nodeName");
                if let Some(caller) = caller.filter(|c| *c != node) {
                    let text = format!(
                        "node {caller:?} can only request tokens for pods that are bound to it"
                    );
                    return Err(Status::forbidden(SERVICE_ACCOUNT, account, &text));
                }
                claims.pod = Some(bound(&pod));
                claims.node = self.local(NODE, &NODE.key("", node)).as_ref().map(bound);
            }
            "Secret" => {
                claims.secret = Some(bound(&self.bound_object(SECRET, ns, name, reference)?))
            }
            "Node" => claims.node = Some(bound(&self.bound_object(NODE, "", name, reference)?)),
            other => {
                return Err(Status::bad_request(format!(
                    "cannot bind token to object of type {other:?}; use Pod, Secret or Node"
                )));
            }
        }
        Ok(())
    }

    fn bound_object(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        reference: &Value,
    ) -> Result<Object, Status> {
        let object =
            self.local(kind, &kind.key(ns, name)).ok_or_else(|| Status::not_found(kind, name))?;
        let uid = text(reference, "uid");
        if !uid.is_empty() && uid != object.uid() {
            let text = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(kind, name, &text));
        }
        Ok(object)
    }
}

fn bound(object: &Object) -> BoundRef {
    BoundRef { name: object.name().to_owned(), uid: object.uid().to_owned() }
}

fn check_seconds(spec: &Value) -> Result<i64, Status> {
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    let path = "spec.expirationSeconds";
    let error = if seconds < SECONDS_MIN {
        FieldError::invalid(path, seconds, "may not specify a duration less than 10 minutes")
    } else if seconds > SECONDS_MAX {
        FieldError::invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
    } else {
        return Ok(seconds);
    };
    Err(Status::invalid(TOKEN_REQUEST, "", &[error]))
}
