//! The review kinds, which are answered and never stored: TokenReview, SelfSubjectReview and the
//! access reviews.

use kabuki_api::{
    kind::{
        Kind, LOCAL_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_ACCESS_REVIEW, SELF_SUBJECT_REVIEW,
        SELF_SUBJECT_RULES_REVIEW, SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW,
    },
    status::Status,
    validate::FieldError,
};
use serde_json::{Value, json};

use super::{
    attributes::Attributes,
    authenticator::{AuthError, Authenticator},
    authorizer::Authorizer,
    user::UserInfo,
};

/// Answers reviews.
#[derive(Clone)]
pub struct Reviews {
    authenticator: Authenticator,
    authorizer: Authorizer,
}

impl Reviews {
    /// Reviews answered by these two.
    pub fn new(authenticator: Authenticator, authorizer: Authorizer) -> Self {
        Self { authenticator, authorizer }
    }

    /// Whether a kind is a review.
    pub fn is_review(kind: &Kind) -> bool {
        [
            TOKEN_REVIEW,
            SELF_SUBJECT_REVIEW,
            SUBJECT_ACCESS_REVIEW,
            LOCAL_SUBJECT_ACCESS_REVIEW,
            SELF_SUBJECT_ACCESS_REVIEW,
            SELF_SUBJECT_RULES_REVIEW,
        ]
        .contains(&kind)
    }

    /// The review with its status filled in. `user` asks; `ns` is the namespace of the URL.
    ///
    /// # Errors
    /// 422 for reviews that ask nothing, 503 when a token cannot be checked now, 405 for other
    /// kinds.
    pub async fn answer(
        &self,
        user: &UserInfo,
        kind: &'static Kind,
        ns: &str,
        review: &Value,
    ) -> Result<Value, Status> {
        let mut answer = review.clone();
        answer["kind"] = kind.kind.into();
        answer["apiVersion"] = kind.api_version().into();
        if !answer["metadata"].is_object() {
            answer["metadata"] = json!({});
        }
        let spec = &review["spec"];
        answer["status"] = if kind == TOKEN_REVIEW {
            self.token(spec).await?
        } else if kind == SELF_SUBJECT_REVIEW {
            json!({"userInfo": user.to_value()})
        } else if kind == SELF_SUBJECT_ACCESS_REVIEW {
            self.access(kind, user, spec)?
        } else if kind == SUBJECT_ACCESS_REVIEW {
            self.access(kind, &subject(kind, spec)?, spec)?
        } else if kind == LOCAL_SUBJECT_ACCESS_REVIEW {
            check_local(kind, ns, spec)?;
            self.access(kind, &subject(kind, spec)?, spec)?
        } else if kind == SELF_SUBJECT_RULES_REVIEW {
            self.rules(kind, user, spec)?
        } else {
            return Err(Status::method_not_allowed(kind, "create"));
        };
        Ok(answer)
    }

    async fn token(&self, spec: &Value) -> Result<Value, Status> {
        let Some(token) = spec["token"].as_str().filter(|t| !t.is_empty()) else {
            let error = FieldError::required(
                "spec.token",
                "token is required for TokenReview in authentication",
            );
            return Err(Status::bad_request(error.body()));
        };
        let mut audiences: Vec<String> = texts(&spec["audiences"]);
        if audiences.is_empty() {
            audiences.push(self.authorizer.registry().config().issuer.clone());
        }
        match self.authenticator.bearer_for(token, &audiences).await {
            Ok((user, common)) => Ok(json!({"authenticated": true, "user": user.to_value(),
                "audiences": common})),
            Err(AuthError::Unavailable(text)) => Err(Status::unavailable(text)),
            Err(refused) => Ok(json!({"user": {}, "error": refused.to_string()})),
        }
    }

    fn access(&self, kind: &Kind, user: &UserInfo, spec: &Value) -> Result<Value, Status> {
        let resource = &spec["resourceAttributes"];
        let path = &spec["nonResourceAttributes"];
        if resource.is_object() == path.is_object() {
            let error = FieldError::invalid(
                "spec.resourceAttributes",
                Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            );
            return Err(Status::invalid(kind, "", &[error]));
        }
        let text =
            |value: &'static str, of: &Value| of[value].as_str().unwrap_or_default().to_owned();
        let decision = if resource.is_object() {
            let fields =
                ["verb", "group", "version", "resource", "subresource", "namespace", "name"]
                    .map(|f| text(f, resource));
            let [verb, group, version, resource, subresource, namespace, name] = &fields;
            self.authorizer.decide(
                user,
                &Attributes {
                    verb,
                    group,
                    version,
                    resource,
                    subresource,
                    namespace,
                    name,
                    path: "",
                },
            )
        } else {
            let (verb, path) = (text("verb", path), text("path", path));
            self.authorizer.decide(user, &Attributes::path(&verb, &path))
        };
        Ok(match decision {
            Some(reason) if reason.is_empty() => json!({"allowed": true}),
            Some(reason) => json!({"allowed": true, "reason": reason}),
            None => json!({"allowed": false}),
        })
    }

    fn rules(&self, kind: &Kind, user: &UserInfo, spec: &Value) -> Result<Value, Status> {
        let ns = spec["namespace"].as_str().unwrap_or_default();
        if ns.is_empty() {
            let error = FieldError::required("spec.namespace", "no namespace on request");
            return Err(Status::invalid(kind, "", &[error]));
        }
        let (paths, resources): (Vec<_>, Vec<_>) = self
            .authorizer
            .rules(user, ns)
            .into_iter()
            .partition(|rule| !rule.non_resource_urls.is_empty());
        Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
    }
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn subject(kind: &Kind, spec: &Value) -> Result<UserInfo, Status> {
    let name = spec["user"].as_str().unwrap_or_default();
    let groups = texts(&spec["groups"]);
    if name.is_empty() && groups.is_empty() {
        let error =
            FieldError::invalid("spec.user", "", "at least one of user or group must be specified");
        return Err(Status::invalid(kind, "", &[error]));
    }
    let extra = spec["extra"].as_object().into_iter().flatten();
    Ok(UserInfo {
        name: name.to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups,
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    })
}

fn check_local(kind: &Kind, ns: &str, spec: &Value) -> Result<(), Status> {
    if spec["resourceAttributes"]["namespace"].as_str().unwrap_or_default() == ns {
        return Ok(());
    }
    let error = FieldError::invalid(
        "spec.resourceAttributes.namespace",
        spec["resourceAttributes"]["namespace"].clone(),
        "must match metadata.namespace",
    );
    Err(Status::invalid(kind, "", &[error]))
}
