//! From `openAPIV3Schema` to [`Schema`]. A definition has been checked before; what is nonsense here
//! is an error all the same, so that no schema is served weaker than it was written.

use std::{collections::HashMap, sync::Arc};

use regex::Regex;
use serde_json::Value;

use super::{
    PATTERNS_MAX, RULE_TYPES_MAX, RULES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX,
    format::Format,
    node::{Additional, Bound, Checks, ListType, Node, Schema, Type},
    pattern,
    rules::{Fault, Rules},
};
use crate::validate::FieldError;

impl Schema {
    /// Compiles `spec.versions[i].schema.openAPIV3Schema`.
    ///
    /// # Errors
    /// Types that do not exist, patterns that do not compile, and schemas beyond
    /// [`SCHEMA_DEPTH_MAX`], [`SCHEMA_NODES_MAX`] or [`PATTERNS_MAX`]; paths begin with
    /// `openAPIV3Schema`.
    pub fn compile(schema: &Value) -> Result<Self, Vec<FieldError>> {
        let mut compiler = Compiler::default();
        let root = compiler.node(schema, "openAPIV3Schema", 0);
        if compiler.errors.is_empty() {
            Ok(Self { root, source: schema.clone() })
        } else {
            Err(compiler.errors)
        }
    }
}

#[derive(Default)]
struct Compiler {
    errors: Vec<FieldError>,
    nodes: usize,
    rules: usize,
    rule_types: usize,
    patterns: HashMap<String, Arc<Regex>>,
}

impl Compiler {
    fn node(&mut self, schema: &Value, path: &str, depth: usize) -> Node {
        self.nodes += 1;
        let limit = if depth > SCHEMA_DEPTH_MAX {
            Some(format!("must not be nested more than {SCHEMA_DEPTH_MAX} schemas deep"))
        } else if self.nodes == SCHEMA_NODES_MAX + 1 {
            Some(format!("must not have more than {SCHEMA_NODES_MAX} schemas"))
        } else {
            None
        };
        if let Some(limit) = limit {
            self.errors.push(FieldError::forbidden(path, limit));
        }
        if depth > SCHEMA_DEPTH_MAX || self.nodes > SCHEMA_NODES_MAX {
            return Node::default();
        }
        let begun = self.nodes;
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let name = schema["type"].as_str().unwrap_or_default();
        let ty = Type::named(name);
        if ty.is_none() && !name.is_empty() {
            let names = ["array", "boolean", "integer", "number", "object", "string"];
            self.errors.push(FieldError::not_supported(format!("{path}.type"), name, &names));
        }
        let mut node = Node {
            ty,
            nullable: flag("nullable"),
            default: schema.get("default").filter(|d| !d.is_null()).cloned(),
            items: schema
                .get("items")
                .filter(|items| items.is_object())
                .map(|items| Box::new(self.node(items, &format!("{path}.items"), depth + 1))),
            properties: self.properties(schema, path, depth),
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => Additional::Allowed,
                Some(Value::Bool(false)) => Additional::Forbidden,
                Some(inner @ Value::Object(_)) => {
                    let path = format!("{path}.additionalProperties");
                    Additional::Schema(Box::new(self.node(inner, &path, depth + 1)))
                }
                _ => Additional::Unset,
            },
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: list_type(schema),
            atomic_map: schema["x-kubernetes-map-type"] == "atomic",
            checks: self.checks(schema, path, depth),
            rules: self.rules(schema, path, depth, begun),
            has_rules: false,
        };
        let below = match &node.additional {
            Additional::Schema(inner) => inner.has_rules,
            _ => false,
        };
        node.has_rules = below
            || node.rules.is_some()
            || node.items.as_ref().is_some_and(|items| items.has_rules)
            || node.properties.values().any(|property| property.has_rules);
        node
    }

    /// The rules of a schema whose inner ones are compiled; `begun` is how many schemas there were
    /// before those.
    fn rules(
        &mut self,
        schema: &Value,
        path: &str,
        depth: usize,
        begun: usize,
    ) -> Option<Box<Rules>> {
        let count = schema["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
        if count == 0 {
            return None;
        }
        self.rules += count;
        self.rule_types += self.nodes - begun + 1;
        let limit = if self.rules > RULES_MAX {
            Some(format!("must not have more than {RULES_MAX} rules in all its schemas"))
        } else if self.rule_types > RULE_TYPES_MAX {
            Some(format!(
                "rules must not see more than {RULE_TYPES_MAX} schemas; put them further in"
            ))
        } else {
            None
        };
        if let Some(limit) = limit {
            let path = format!("{path}.x-kubernetes-validations");
            self.errors.push(FieldError::forbidden(path, limit));
            return None;
        }
        match Rules::compile(schema, depth == 0) {
            Ok(rules) => rules.map(Box::new),
            Err(faults) => {
                self.errors.extend(faults.into_iter().map(|fault| {
                    let Fault { index, field, detail } = fault;
                    let path = format!("{path}.x-kubernetes-validations[{index}].{field}");
                    let rule = schema["x-kubernetes-validations"][index].clone();
                    FieldError::invalid(path, rule, detail)
                }));
                None
            }
        }
    }

    fn properties(
        &mut self,
        schema: &Value,
        path: &str,
        depth: usize,
    ) -> std::collections::BTreeMap<String, Node> {
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, inner)| {
                let path = format!("{path}.properties[{name}]");
                (name.clone(), self.node(inner, &path, depth + 1))
            })
            .collect()
    }

    fn checks(&mut self, schema: &Value, path: &str, depth: usize) -> Checks {
        let count = |name: &str| schema[name].as_i64().map(|n| u64::try_from(n).unwrap_or(0));
        let bound = |name: &str, exclusive: &str| {
            let exclusive = schema[exclusive].as_bool().unwrap_or(false);
            schema[name].as_f64().map(|at| Bound { at, exclusive })
        };
        let list = |name: &str| schema[name].as_array().cloned().unwrap_or_default();
        let mut all = |name: &str| -> Vec<Node> {
            let list = schema[name].as_array().into_iter().flatten().enumerate();
            list.map(|(i, s)| self.node(s, &format!("{path}.{name}[{i}]"), depth + 1)).collect()
        };
        let (all_of, any_of, one_of) = (all("allOf"), all("anyOf"), all("oneOf"));
        let not = schema.get("not").filter(|not| not.is_object());
        Checks {
            format: schema["format"].as_str().and_then(Format::named),
            maximum: bound("maximum", "exclusiveMaximum"),
            minimum: bound("minimum", "exclusiveMinimum"),
            multiple_of: schema["multipleOf"].as_f64().filter(|by| *by > 0.0),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: self.pattern(schema, path),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: list("required")
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            values: list("enum"),
            all_of,
            any_of,
            one_of,
            not: not.map(|not| Box::new(self.node(not, &format!("{path}.not"), depth + 1))),
        }
    }

    fn pattern(&mut self, schema: &Value, path: &str) -> Option<(String, Arc<Regex>)> {
        let text = schema["pattern"].as_str().filter(|text| !text.is_empty())?;
        if let Some(known) = self.patterns.get(text) {
            return Some((text.to_owned(), Arc::clone(known)));
        }
        let path = format!("{path}.pattern");
        if self.patterns.len() >= PATTERNS_MAX {
            let detail = format!("must not have more than {PATTERNS_MAX} different patterns");
            self.errors.push(FieldError::forbidden(path, detail));
            return None;
        }
        match pattern::compile(text) {
            Ok(regex) => {
                let regex = Arc::new(regex);
                self.patterns.insert(text.to_owned(), Arc::clone(&regex));
                Some((text.to_owned(), regex))
            }
            Err(why) => {
                self.errors.push(FieldError::invalid(path, text, pattern::refusal(&why)));
                None
            }
        }
    }
}

fn list_type(schema: &Value) -> ListType {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("atomic") => ListType::Atomic,
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListType::Map(keys.filter_map(|k| k.as_str().map(str::to_owned)).collect())
        }
        _ => ListType::Unset,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        let errors = Schema::compile(schema).map(|_| ()).unwrap_err();
        errors.last().map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn schemas_beyond_the_limits_are_refused() {
        let mut deep = json!({"type": "string"});
        for _ in 0..SCHEMA_DEPTH_MAX + 1 {
            deep = json!({"type": "array", "items": deep});
        }
        assert!(refused(&deep).contains("schemas deep"), "{}", refused(&deep));
        let many = |count: usize, one: &dyn Fn(usize) -> Value| {
            let all = (0..count).map(|i| (format!("p{i}"), one(i))).collect();
            json!({"type": "object", "properties": Value::Object(all)})
        };
        let wide = many(SCHEMA_NODES_MAX, &|_| json!({"type": "string"}));
        assert!(refused(&wide).contains("more than 50000 schemas"), "{}", refused(&wide));
        let patterns =
            many(PATTERNS_MAX + 1, &|i| json!({"type": "string", "pattern": format!("{i}")}));
        assert!(refused(&patterns).contains("different patterns"));
        let rule = json!({"rule": "true"});
        let rules =
            json!({"type": "object", "x-kubernetes-validations": vec![rule; RULES_MAX + 1]});
        assert!(refused(&rules).contains("more than 2000 rules"), "{}", refused(&rules));
    }
}
