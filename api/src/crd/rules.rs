//! `x-kubernetes-validations`: rules in CEL (`schema/cel/{compilation,validation}.go`).

use std::sync::Arc;

use serde_json::Value;

use super::{
    FAULTS_MAX, ROOT,
    definition::resolve,
    node::{Additional, ListType, Node},
    value::Twins,
};
use crate::{
    cel::{self, Budget, CompileError, Environment, EvalError, Program, RUNTIME_BUDGET, Variables},
    validate::{FieldError, Reason},
};

/// Longest text that a message expression gives, bytes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
/// What rules are called in errors when an object is too wrong for them.
const NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// The rules of one schema.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The type of `self`.
    own: cel::Type,
    /// The type of the schema, which errors show as the value.
    shown: String,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    program: Program,
    message: Option<Program>,
    /// What is said without a message expression.
    text: String,
    /// The message or the rule itself, in errors of the rule.
    name: String,
    reason: Reason,
    field: String,
    uses_old: bool,
    optional_old: bool,
}

/// What is wrong with a rule when it is compiled, and in which field of it.
pub(super) struct Fault {
    pub(super) index: usize,
    pub(super) field: &'static str,
    pub(super) detail: String,
}

/// What a definition needs to know of a rule.
pub(super) struct Known {
    pub(super) uses_old: bool,
}

impl Rules {
    /// Compiles the rules of a schema; `None` when it has none.
    pub(super) fn compile(schema: &Value, is_root: bool) -> Result<Option<Self>, Vec<Fault>> {
        let Some(given) = schema["x-kubernetes-validations"].as_array().filter(|g| !g.is_empty())
        else {
            return Ok(None);
        };
        let is_object = is_root || schema["x-kubernetes-embedded-resource"] == true;
        let own = cel::Type::from_schema(schema, is_object).unwrap_or(cel::Type::Dyn);
        let mut faults = Vec::new();
        let mut rules = Vec::with_capacity(given.len());
        for (index, rule) in given.iter().enumerate() {
            match Rule::compile(schema, rule, &own) {
                Ok(rule) => rules.push(rule),
                Err(found) => faults.extend(found.into_iter().map(|(field, detail)| Fault {
                    index,
                    field,
                    detail,
                })),
            }
        }
        let shown = schema["type"].as_str().unwrap_or_default().to_owned();
        if faults.is_empty() { Ok(Some(Self { own, shown, rules })) } else { Err(faults) }
    }

    /// What each rule uses.
    pub(super) fn known(&self) -> impl Iterator<Item = Known> + '_ {
        self.rules.iter().map(|rule| Known { uses_old: rule.uses_old })
    }
}

impl Rule {
    fn compile(
        schema: &Value,
        rule: &Value,
        own: &cel::Type,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let given = |field: &str| rule[field].as_str().unwrap_or_default();
        let optional_old = rule["optionalOldSelf"] == true;
        let alone = Environment::new().with("self", own.clone());
        let old = if optional_old { cel::Type::optional(own.clone()) } else { own.clone() };
        let with_old = alone.clone().with("oldSelf", old);
        let mut faults = Vec::new();
        // A rule that compiles without the old value does not use it.
        let (program, uses_old) = match Program::compile(given("rule"), &alone) {
            Ok(program) => (Some(program), false),
            Err(_) => match Program::compile(given("rule"), &with_old) {
                Ok(program) => (Some(program), true),
                Err(error) => {
                    faults.push(("rule", error.to_string()));
                    (None, false)
                }
            },
        };
        if program.as_ref().is_some_and(|p| *p.result() != cel::Type::Bool) {
            faults.push(("rule", "cel expression must evaluate to a bool".into()));
        }
        let message = match given("messageExpression") {
            "" => None,
            text => match Program::compile(text, &with_old) {
                Ok(program) if *program.result() == cel::Type::String => Some(program),
                Ok(_) => {
                    let detail = "messageExpression must evaluate to a string";
                    faults.push(("messageExpression", detail.into()));
                    None
                }
                Err(CompileError::Issues(issues)) => {
                    let detail = format!("messageExpression compilation failed: {issues}");
                    faults.push(("messageExpression", detail));
                    None
                }
                Err(other) => {
                    faults.push(("messageExpression", other.to_string()));
                    None
                }
            },
        };
        let (text, source) = (given("message").trim(), given("rule").trim());
        let field = match given("fieldPath") {
            "" => String::new(),
            path => resolve(path, schema, true).map(|(_, at)| at).unwrap_or_default(),
        };
        match program {
            Some(program) if faults.is_empty() => Ok(Self {
                program,
                message,
                text: if text.is_empty() {
                    format!("failed rule: {source}")
                } else {
                    text.to_owned()
                },
                name: if text.is_empty() { source.to_owned() } else { text.to_owned() },
                reason: match given("reason") {
                    "FieldValueRequired" => Reason::Required,
                    "FieldValueForbidden" => Reason::Forbidden,
                    "FieldValueDuplicate" => Reason::Duplicate,
                    _ => Reason::Invalid,
                },
                field,
                uses_old,
                optional_old,
            }),
            _ => Err(faults),
        }
    }
}

/// Evaluates all rules of an object. `found` is what is wrong with it already: an object of the
/// wrong shape is not shown to rules.
pub(super) fn check(
    root: &Node,
    object: &Value,
    old: Option<&Value>,
    found: &[FieldError],
) -> Vec<FieldError> {
    if !root.has_rules {
        return Vec::new();
    }
    let blocks = |error: &FieldError| {
        matches!(
            error.reason,
            Reason::NotSupported
                | Reason::Required
                | Reason::TooLong
                | Reason::TooMany
                | Reason::TypeInvalid
        )
    };
    if found.iter().any(blocks) {
        return vec![FieldError::invalid(ROOT, "null", NOT_CHECKED)];
    }
    let mut run = Run { budget: Budget::new(RUNTIME_BUDGET), errors: Vec::new() };
    let past = Past { own: old, twin: old, unchanged: false };
    // A limit that was hit is told of in the errors.
    let _ = run.walk(root, object, past, "");
    run.errors
}

/// Evaluates the rules of a default, which was before what it is.
pub(super) fn check_default(node: &Node, default: &Value) -> Vec<FieldError> {
    let mut run = Run { budget: Budget::new(RUNTIME_BUDGET), errors: Vec::new() };
    let past = Past { own: Some(default), twin: None, unchanged: false };
    let _ = run.walk(node, default, past, "");
    run.errors
}

/// What a value was before.
#[derive(Clone, Copy)]
struct Past<'v> {
    /// `oldSelf`: only what can be told apart for certain has one.
    own: Option<&'v Value>,
    /// What is compared to see whether anything changed, by place if need be.
    twin: Option<&'v Value>,
    /// Where there is nothing to compare with: whether what is around it is as it was.
    unchanged: bool,
}

fn list_of(value: Option<&Value>) -> Option<&[Value]> {
    value?.as_array().map(Vec::as_slice)
}

/// A limit was hit: no more rules are evaluated.
struct Ended;

struct Run {
    budget: Budget,
    errors: Vec<FieldError>,
}

impl Run {
    fn walk(
        &mut self,
        node: &Node,
        value: &Value,
        past: Past<'_>,
        path: &str,
    ) -> Result<(), Ended> {
        if !node.has_rules || value.is_null() {
            return Ok(());
        }
        if let Some(rules) = &node.rules {
            self.rules(rules, value, past, path)?;
        }
        // Nothing to compare with further in: what holds here holds there.
        let around = past.twin.map_or(past.unchanged, |twin| twin == value);
        match value {
            Value::Object(map) => {
                for (name, inner) in map {
                    let (child, path) = if let Some(child) = node.properties.get(name) {
                        (
                            child,
                            if path.is_empty() { name.clone() } else { format!("{path}.{name}") },
                        )
                    } else if let Additional::Schema(child) = &node.additional {
                        (&**child, format!("{path}[{name}]"))
                    } else {
                        continue;
                    };
                    let own = past.own.filter(|_| !node.atomic_map).and_then(|o| o.get(name));
                    let twin = past.twin.and_then(|o| o.get(name));
                    self.walk(child, inner, Past { own, twin, unchanged: around }, &path)?;
                }
            }
            Value::Array(items) => {
                let Some(child) = node.items.as_deref().filter(|c| c.has_rules) else {
                    return Ok(());
                };
                let keyed = matches!(node.list_type, ListType::Map(_));
                let owns = Twins::of(node, list_of(past.own.filter(|_| keyed)));
                let twins = Twins::of(node, list_of(past.twin));
                for (i, item) in items.iter().enumerate() {
                    let past = Past {
                        own: owns.of_item(i, item),
                        twin: twins.of_item(i, item),
                        unchanged: around,
                    };
                    self.walk(child, item, past, &format!("{path}[{i}]"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        rules: &Rules,
        value: &Value,
        past: Past<'_>,
        path: &str,
    ) -> Result<(), Ended> {
        let at = super::value::at(path);
        let own = |value| cel::Value::from_json(value, &rules.own);
        for rule in &rules.rules {
            if self.errors.len() >= FAULTS_MAX {
                return Err(Ended);
            }
            if rule.uses_old && past.own.is_none() && !rule.optional_old {
                continue;
            }
            let mut variables = Variables::new();
            variables.set("self", own(value));
            match past.own {
                Some(old) if rule.optional_old => {
                    variables.set("oldSelf", cel::Value::Optional(Some(Arc::new(own(old)))));
                }
                Some(old) => variables.set("oldSelf", own(old)),
                None if rule.optional_old => variables.set("oldSelf", cel::Value::Optional(None)),
                None => {}
            }
            let say =
                |detail: String| FieldError::invalid(at.clone(), rules.shown.as_str(), detail);
            match rule.program.eval(&variables, &mut self.budget) {
                Ok(cel::Value::Bool(true)) => continue,
                Ok(_) => {}
                Err(EvalError::Exhausted) => {
                    self.errors.push(say(EvalError::Exhausted.to_string()));
                    return Err(Ended);
                }
                Err(EvalError::CallLimit) => {
                    let error = EvalError::CallLimit;
                    self.errors.push(say(format!("'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}", rule.name)));
                    return Err(Ended);
                }
                Err(EvalError::Failed(why)) if why.starts_with("no such overload") => {
                    self.errors.push(say(format!("'{why}': call arguments did not match a supported operator, function or macro signature for rule: {}", rule.name)));
                    continue;
                }
                Err(EvalError::Failed(why)) => {
                    self.errors.push(say(format!("{why} evaluating rule: {}", rule.name)));
                    continue;
                }
            }
            // What did not change may stay; a rule about changes is about nothing else.
            let unchanged = past.twin.map_or(past.unchanged, |twin| twin == value);
            if !rule.uses_old && unchanged {
                continue;
            }
            let detail = self.message(rule, &variables).unwrap_or_else(|| rule.text.clone());
            let place = match (rule.field.as_str(), path) {
                ("", _) => at.clone(),
                (field, "") => field.to_owned(),
                (field, path) => format!("{path}.{field}"),
            };
            let detail = if rule.reason == Reason::Duplicate { String::new() } else { detail };
            self.errors.push(FieldError::new(place, rule.reason, rules.shown.as_str(), detail));
        }
        Ok(())
    }

    /// What the message expression says; `None` where it fails or says nothing that can be shown.
    fn message(&mut self, rule: &Rule, variables: &Variables<'_>) -> Option<String> {
        let program = rule.message.as_ref()?;
        let cel::Value::String(text) = program.eval(variables, &mut self.budget).ok()? else {
            return None;
        };
        let text = text.as_str().trim();
        let fits = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX;
        (fits && !text.contains(['\n', '\r'])).then(|| text.to_owned())
    }
}
