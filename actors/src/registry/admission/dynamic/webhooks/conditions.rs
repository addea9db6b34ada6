//! `matchConditions` of webhooks (apiserver `pkg/admission/plugin/webhook/matchconditions`).

use std::sync::Arc;

use kabuki_api::{
    cel::{
        Attributes as Question, Authorizer as Answers, Budget, Check, Compiled, Decision,
        MATCH_CONDITIONS_BUDGET, Opaque, Type, Value as CelValue, Variables, conditions,
        request_type,
    },
    status::Status,
};
use serde_json::{Value, json};

use super::{
    super::{Attributes, Registry},
    ask::Seen,
    review::request,
};
use crate::auth::{self, Authorizer, UserInfo};

/// The conditions of one webhook, compiled.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    programs: Vec<(String, Compiled)>,
    expressions: Vec<String>,
}

impl Conditions {
    pub(super) fn read(hook: &Value) -> Self {
        let listed = hook["matchConditions"].as_array().into_iter().flatten();
        let text = |c: &Value| c["expression"].as_str().unwrap_or_default().trim().to_owned();
        let expressions: Vec<String> = listed.map(text).collect();
        if expressions.is_empty() {
            return Self::default();
        }
        Self { programs: conditions(hook, false), expressions }
    }

    /// Whether the webhook is to be asked: no condition is false. One that fails decides only where
    /// none is false, and then as the webhook's failure policy says.
    ///
    /// # Errors
    /// 403 for a condition that failed, of a webhook that must not be left out.
    pub(super) fn hold(
        &self,
        registry: &Registry,
        attributes: &Attributes<'_>,
        seen: &Seen,
        ignores_failure: bool,
    ) -> Result<bool, Status> {
        if self.programs.is_empty() {
            return Ok(true);
        }
        let described = json!(request(attributes, seen.kind));
        let asker = Asker { registry, user: &attributes.info.user };
        let old = seen.old.as_ref().unwrap_or(&Value::Null);
        let mut variables = Variables::new();
        variables.set("object", CelValue::from_json(&seen.object, &Type::Dyn));
        variables.set("oldObject", CelValue::from_json(old, &Type::Dyn));
        variables.set("request", CelValue::from_json(&described, &request_type()));
        variables.set("namespaceObject", CelValue::Null);
        let check = |check| CelValue::Opaque(Opaque::Check(Arc::new(check)));
        variables.set("authorizer", check(Check::authorizer()));
        let own = check(Check::resource(own_resource(attributes)));
        variables.set("authorizer.requestResource", own);
        variables.set_authorizer(&asker);
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let mut failures = Vec::new();
        for ((_, program), expression) in self.programs.iter().zip(&self.expressions) {
            let result = match program {
                Ok(program) => program.eval(&variables, &mut budget).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match result {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Ok(false),
                Ok(_) => failures.push(format!("expression '{expression}' is not a condition")),
                Err(why) => {
                    failures.push(format!("expression '{expression}' resulted in error: {why}"));
                }
            }
        }
        match failures.as_slice() {
            [] => Ok(true),
            _ if ignores_failure => Ok(false),
            [one] => Err(Status::forbidden(attributes.kind, attributes.name, one)),
            many => {
                let text = format!("[{}]", many.join(", "));
                Err(Status::forbidden(attributes.kind, attributes.name, &text))
            }
        }
    }
}

fn own_resource(attributes: &Attributes<'_>) -> Question {
    Question {
        group: attributes.kind.group.to_owned(),
        resource: attributes.kind.plural.to_owned(),
        subresource: attributes.subresource.to_owned(),
        namespace: attributes.namespace.to_owned(),
        name: attributes.name.to_owned(),
        ..Question::default()
    }
}

/// Answers `authorizer` for the user of the request.
struct Asker<'a> {
    registry: &'a Registry,
    user: &'a UserInfo,
}

impl Answers for Asker<'_> {
    fn check(&self, asked: &Question) -> Decision {
        let named;
        let user = match &asked.service_account {
            None => self.user,
            Some((namespace, name)) => {
                named = UserInfo::service_account(namespace, name, "");
                &named
            }
        };
        let question = match &asked.path {
            Some(path) => auth::Attributes::path(&asked.verb, path),
            None => auth::Attributes {
                verb: &asked.verb,
                group: &asked.group,
                version: "*",
                resource: &asked.resource,
                subresource: &asked.subresource,
                namespace: &asked.namespace,
                name: &asked.name,
                path: "",
            },
        };
        let reason = Authorizer::new(self.registry.clone()).decide(user, &question);
        Decision { allowed: reason.is_some(), reason: reason.unwrap_or_default(), error: None }
    }
}
