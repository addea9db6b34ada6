//! The expressions of an admission policy, compiled together: variables see those before them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{CompileError, Environment, Program, Type};

/// The expressions of one policy. Each keeps its own error: a policy whose stored expressions do not
/// compile is a configuration error when it is asked, not before.
#[derive(Debug, Default)]
pub struct Policy {
    /// `matchConditions`: name and expression.
    pub conditions: Vec<(String, Compiled)>,
    /// `variables`: `variables.<name>` and expression.
    pub variables: Vec<(String, Compiled)>,
    /// `validations[].expression`.
    pub validations: Vec<Compiled>,
    /// `validations[].messageExpression`, where there is one.
    pub messages: Vec<Option<Compiled>>,
    /// `auditAnnotations[].valueExpression`.
    pub annotations: Vec<Compiled>,
    /// `mutations[]`: whether a JSON patch, and the expression.
    pub mutations: Vec<(bool, Compiled)>,
}

/// An expression that compiled, or why not.
pub type Compiled = Result<Program, CompileError>;

impl Policy {
    /// Compiles the expressions of a policy of either kind.
    pub fn compile(policy: &Json) -> Self {
        let spec = &policy["spec"];
        let mutating = policy["kind"] == "MutatingAdmissionPolicy" || spec["mutations"].is_array();
        let has_params = spec["paramKind"].is_object();
        let with_authorizer = Environment::admission(has_params, true);
        let mut full = with_authorizer.clone();
        let mut plain = Environment::admission(has_params, false);
        if mutating {
            full = full.with_mutation();
        }
        let mut out = Self { conditions: conditions(spec, has_params), ..Self::default() };
        for variable in list(spec, "variables") {
            let name = format!("variables.{}", text(variable, "name"));
            let program = Program::compile(text(variable, "expression"), &full);
            let declared = program.as_ref().map_or(Type::Dyn, |p| p.result().clone());
            full = full.with(&name, declared.clone());
            plain = plain.with(&name, declared);
            out.variables.push((name, program));
        }
        let bools = full.clone().expecting(&[Type::Bool]);
        let strings = plain.expecting(&[Type::String]);
        let notes = full.clone().expecting(&[Type::String, Type::Null]);
        for validation in list(spec, "validations") {
            out.validations.push(Program::compile(text(validation, "expression"), &bools));
            let message = text(validation, "messageExpression");
            let some = !message.trim().is_empty();
            out.messages.push(some.then(|| Program::compile(message, &strings)));
        }
        for annotation in list(spec, "auditAnnotations") {
            let expression = text(annotation, "valueExpression").trim();
            out.annotations.push(Program::compile(expression, &notes));
        }
        let applied = full.clone().expecting(&[Type::object("Object", &[])]);
        let patched = full.expecting(&[Type::list(Type::object("JSONPatch", &[]))]);
        for mutation in list(spec, "mutations") {
            let json_patch = mutation["patchType"] == "JSONPatch";
            let (field, environment) =
                if json_patch { ("jsonPatch", &patched) } else { ("applyConfiguration", &applied) };
            let expression = text(&mutation[field], "expression");
            out.mutations.push((json_patch, Program::compile(expression, environment)));
        }
        out
    }

    /// The declared variables by name, for whoever sets them.
    pub fn variable_programs(&self) -> BTreeMap<&str, &Program> {
        let compiled = self.variables.iter();
        compiled.filter_map(|(n, p)| Some((n.as_str(), p.as_ref().ok()?))).collect()
    }

    /// The first expression that does not compile.
    pub fn error(&self) -> Option<&CompileError> {
        let conditions = self.conditions.iter().map(|(_, c)| c);
        let variables = self.variables.iter().map(|(_, c)| c);
        let mutations = self.mutations.iter().map(|(_, c)| c);
        let messages = self.messages.iter().flatten();
        let all = conditions.chain(variables).chain(&self.validations).chain(messages);
        all.chain(&self.annotations).chain(mutations).find_map(|c| c.as_ref().err())
    }
}

/// Compiles the `matchConditions` of a policy's spec, or of a webhook, which has no parameters.
pub fn conditions(spec: &Json, has_params: bool) -> Vec<(String, Compiled)> {
    let environment = Environment::admission(has_params, true).expecting(&[Type::Bool]);
    list(spec, "matchConditions")
        .map(|condition| {
            let expression = text(condition, "expression").trim();
            (text(condition, "name").to_owned(), Program::compile(expression, &environment))
        })
        .collect()
}

fn text<'j>(value: &'j Json, field: &str) -> &'j str {
    value[field].as_str().unwrap_or_default()
}

fn list<'j>(value: &'j Json, field: &str) -> impl Iterator<Item = &'j Json> {
    value[field].as_array().into_iter().flatten()
}
