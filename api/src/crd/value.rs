//! Validation of an object by its schema (kube-openapi `pkg/validation/validate`, apiextensions
//! `pkg/apiserver/validation/{validation,ratcheting}.go`, `pkg/registry/customresource/strategy.go`).

use serde_json::Value;

use super::{
    FAULTS_MAX, ROOT, VALIDATION_STEPS_MAX, embedded, listtype,
    node::{Additional, ListType, Node, Schema, Type},
    rules, scalar,
};
use crate::validate::{FieldError, Reason};

impl Schema {
    /// Everything the schema finds wrong with an object that is pruned and has its defaults. Faults
    /// that `old` had in the same place, of a value that is as it was, are let be (ratcheting). At
    /// most [`FAULTS_MAX`]; past [`VALIDATION_STEPS_MAX`] the object is refused as too large.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = check_value(&self.root, object, old, "");
        embedded::check(&self.root, object, &mut errors);
        let lists = listtype::check(&self.root, object);
        // Lists that were wrong already may stay so.
        if !lists.is_empty() && old.is_none_or(|old| listtype::check(&self.root, old).is_empty()) {
            errors.extend(lists);
        }
        let broken = rules::check(&self.root, object, old, &errors);
        errors.extend(broken);
        errors.truncate(FAULTS_MAX);
        errors
    }
}

/// Validates a value that is at `path`.
pub(super) fn check_value(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &str,
) -> Vec<FieldError> {
    let mut walk = Walk { path: path.to_owned(), steps: 0 };
    let mut errors = walk.value(node, value, old, false).errors;
    if walk.steps > VALIDATION_STEPS_MAX {
        let detail = format!(
            "the object takes more than {VALIDATION_STEPS_MAX} steps to validate; make it smaller, or its schema simpler"
        );
        // What was found until then is half of the truth, and this is why.
        errors.insert(0, FieldError::new(ROOT, Reason::Forbidden, Value::Null, detail));
    }
    errors
}

/// What one schema says of one value.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) errors: Vec<FieldError>,
    /// How many checks were made: of alternatives none of which fits, the one that went farthest is
    /// explained.
    score: usize,
}

impl Verdict {
    fn merge(&mut self, other: Self) {
        self.score += other.score;
        let room = FAULTS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
    }

    fn one_check(&mut self, errors: Vec<FieldError>) {
        self.merge(Self { errors, score: 1 });
    }
}

struct Walk {
    path: String,
    steps: usize,
}

impl Walk {
    /// The path as the errors show it.
    fn at(&self) -> String {
        at(&self.path)
    }

    fn below<T>(&mut self, step: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let out = run(self);
        self.path.truncate(length);
        out
    }

    fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!(".{name}") }
    }

    /// `nested`: the schema is one of `allOf` and the like, which are not ratcheted by themselves.
    fn value(&mut self, node: &Node, value: &Value, old: Option<&Value>, nested: bool) -> Verdict {
        self.steps += 1;
        let mut out = Verdict::default();
        if self.steps > VALIDATION_STEPS_MAX {
            return out;
        }
        out.one_check(scalar::types(node, value, &self.path));
        if value.is_null() {
            out.one_check(scalar::enumeration(node, value, &self.path));
        } else {
            self.junctions(node, value, old, &mut out);
            match value {
                Value::String(text) => out.one_check(scalar::text(node, text, &self.path)),
                Value::Number(_) => out.one_check(scalar::number(node, value, &self.path)),
                Value::Array(items) => self.list(node, items, old, &mut out),
                _ => {}
            }
            out.one_check(scalar::enumeration(node, value, &self.path));
            if let Value::Object(map) = value {
                self.object(node, map, old, &mut out);
            }
        }
        if !nested && !out.errors.is_empty() && old == Some(value) {
            out.errors.clear();
        }
        out
    }

    fn list(&mut self, node: &Node, items: &[Value], old: Option<&Value>, out: &mut Verdict) {
        if let Some(inner) = &node.items {
            let had = old.and_then(Value::as_array).map(Vec::as_slice);
            let twins = Twins::of(node, had);
            for (i, item) in items.iter().enumerate() {
                if self.steps > VALIDATION_STEPS_MAX {
                    return;
                }
                let old = twins.of_item(i, item);
                let found =
                    self.below(&format!("[{i}]"), |walk| walk.value(inner, item, old, false));
                out.merge(found);
            }
        }
        out.one_check(scalar::count_of_items(node, items.len(), &self.path));
    }

    fn object(
        &mut self,
        node: &Node,
        map: &serde_json::Map<String, Value>,
        old: Option<&Value>,
        out: &mut Verdict,
    ) {
        let counted = scalar::count_of_properties(node, map.len(), &self.path);
        if !counted.is_empty() {
            out.one_check(counted);
            return;
        }
        for (name, value) in map {
            if self.steps > VALIDATION_STEPS_MAX {
                return;
            }
            match node.property(name) {
                Some(property) => {
                    let old = old.and_then(|old| old.get(name));
                    let step = self.field(name);
                    let found = self.below(&step, |walk| walk.value(property, value, old, false));
                    out.merge(found);
                }
                None if matches!(node.additional, Additional::Forbidden) => {
                    let detail = format!("{}.{name} in body is a forbidden property", self.path);
                    let value = name.as_str();
                    out.one_check(vec![FieldError::invalid(self.at(), value, detail)]);
                }
                None => {}
            }
        }
        for name in &node.checks.required {
            if !map.contains_key(name) {
                let path = format!("{}{}", self.path, self.field(name));
                out.one_check(vec![FieldError::required(path, "")]);
            }
        }
    }

    /// `anyOf`, `oneOf`, `allOf` and `not`; their own texts have no path, as upstream.
    fn junctions(&mut self, node: &Node, value: &Value, old: Option<&Value>, out: &mut Verdict) {
        let checks = &node.checks;
        let quoted = crate::text::quote(&self.path);
        let say = |detail: String| vec![FieldError::invalid(ROOT, "", detail)];
        if !checks.any_of.is_empty() {
            let (fitting, verdict) = self.alternatives(&checks.any_of, value, old, true);
            if fitting == 0 {
                out.one_check(say(format!("{quoted} must validate at least one schema (anyOf)")));
            }
            out.merge(verdict);
        }
        if !checks.one_of.is_empty() {
            let (fitting, verdict) = self.alternatives(&checks.one_of, value, old, false);
            if fitting != 1 {
                let found = match fitting {
                    0 => "Found none valid".to_owned(),
                    many => format!("Found {many} valid alternatives"),
                };
                let text =
                    format!("{quoted} must validate one and only one schema (oneOf). {found}");
                out.one_check(say(text));
            }
            out.merge(verdict);
        }
        if !checks.all_of.is_empty() {
            let mut fitting = 0;
            for one in &checks.all_of {
                let verdict = self.value(one, value, old, true);
                fitting += usize::from(verdict.errors.is_empty());
                out.merge(verdict);
            }
            if fitting < checks.all_of.len() {
                let none = if fitting == 0 { ". None validated" } else { "" };
                out.one_check(say(format!("{quoted} must validate all the schemas (allOf){none}")));
            }
        }
        if let Some(not) = &checks.not
            && self.value(not, value, old, true).errors.is_empty()
        {
            out.one_check(say(format!("{quoted} must not validate the schema (not)")));
        }
        out.score += 1;
    }

    /// How many of the schemas fit, and what the best says: the first that fits, or when none does
    /// the one that went farthest.
    fn alternatives(
        &mut self,
        all: &[Node],
        value: &Value,
        old: Option<&Value>,
        one_is_enough: bool,
    ) -> (usize, Verdict) {
        let mut fitting = 0;
        let mut best: Option<Verdict> = None;
        for one in all {
            let verdict = self.value(one, value, old, true);
            if verdict.errors.is_empty() {
                fitting += 1;
                if fitting == 1 {
                    best = Some(verdict);
                }
                if one_is_enough {
                    break;
                }
            } else if fitting == 0 && best.as_ref().is_none_or(|b| verdict.score > b.score) {
                best = Some(verdict);
            }
        }
        (fitting, best.unwrap_or_default())
    }
}

/// A path as errors show it.
pub(super) fn at(path: &str) -> String {
    if path.is_empty() { ROOT.to_owned() } else { path.to_owned() }
}

/// The old items of a list, found by what tells them apart.
pub(super) enum Twins<'v> {
    None,
    ByIndex(&'v [Value]),
    ByKey(Vec<&'v str>, std::collections::HashMap<String, &'v Value>),
}

impl<'v> Twins<'v> {
    pub(super) fn of(node: &'v Node, had: Option<&'v [Value]>) -> Self {
        match (&node.list_type, had) {
            (ListType::Unset, Some(had)) => Self::ByIndex(had),
            (ListType::Map(keys), Some(had)) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let map = had.iter().rev().map(|item| (key_of(item, &keys), item)).collect();
                Self::ByKey(keys, map)
            }
            // The items of sets and of atomic lists have no past of their own.
            _ => Self::None,
        }
    }

    pub(super) fn of_item(&self, index: usize, item: &Value) -> Option<&'v Value> {
        match self {
            Self::None => None,
            Self::ByIndex(had) => had.get(index),
            Self::ByKey(keys, map) => map.get(&key_of(item, keys)).copied(),
        }
    }
}

fn key_of(item: &Value, keys: &[&str]) -> String {
    keys.iter().map(|key| item[*key].to_string()).collect::<Vec<_>>().join(",")
}

/// The name of the type of a value in upstream's messages.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => Type::Boolean.name(),
        Value::Number(n) if n.is_f64() => Type::Number.name(),
        Value::Number(_) => Type::Integer.name(),
        Value::String(_) => Type::String.name(),
        Value::Array(_) => Type::Array.name(),
        Value::Object(_) => Type::Object.name(),
    }
}
