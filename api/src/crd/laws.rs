//! What holds for any schema and any object, sense or nonsense: nothing panics or runs long, and
//! what is done twice is as done once.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Names, Schema, columns, default_definition, validate_definition};

const ROUNDS: u64 = 3000;
const NAMES: &[&str] = &["a", "b", "c", "metadata", "kind", "spec", "k\"'.[", "ü"];
const TEXTS: &[&str] = &[
    "",
    "a",
    "object",
    "array",
    "string",
    "integer",
    "map",
    "set",
    "atomic",
    "date-time",
    "^(a+)+$",
    "(",
    "true",
    "self.a",
    ".spec",
    ".a[0]",
    "Webhook",
    "x-1",
    "\u{0}",
];
const KEYWORDS: &[&str] = &[
    "type",
    "format",
    "pattern",
    "enum",
    "default",
    "nullable",
    "required",
    "properties",
    "items",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "maximum",
    "minimum",
    "multipleOf",
    "exclusiveMaximum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "uniqueItems",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    "$ref",
];

struct Any(StdRng);

impl Any {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.random_range(0..of.len())]
    }

    /// Any value.
    fn value(&mut self, depth: u32) -> Value {
        match self.0.random_range(0..if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => self.0.random_bool(0.5).into(),
            2 => self.0.random_range(-2_i64..5).into(),
            3 => [json!(0.5), json!(1e300), json!(-0.0), json!(u64::MAX), json!(i64::MIN)]
                [self.0.random_range(0..5)]
            .clone(),
            4 | 5 => self.one(TEXTS).into(),
            6 => (0..self.0.random_range(0..4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth),
        }
    }

    fn object(&mut self, depth: u32) -> Value {
        let count = self.0.random_range(0..5);
        let mut map = Map::new();
        for _ in 0..count {
            map.insert(self.one(NAMES).into(), self.value(depth - 1));
        }
        map.into()
    }

    /// A schema, mostly of the right form.
    fn schema(&mut self, depth: u32) -> Value {
        let types = ["object", "array", "string", "integer", "number", "boolean"];
        let mut map = Map::new();
        if self.0.random_bool(0.8) {
            map.insert("type".into(), self.one(&types).into());
        }
        for _ in 0..self.0.random_range(0..5) {
            let name = self.one(KEYWORDS);
            let value = self.keyword(name, depth);
            map.insert(name.into(), value);
        }
        map.into()
    }

    fn keyword(&mut self, name: &str, depth: u32) -> Value {
        if depth == 0 || self.0.random_bool(0.1) {
            return self.value(2);
        }
        match name {
            "properties" => {
                let count = self.0.random_range(0..4);
                let all = (0..count).map(|_| (self.one(NAMES).to_owned(), self.schema(depth - 1)));
                Value::Object(all.collect())
            }
            "items" | "additionalProperties" | "not" => self.schema(depth - 1),
            "allOf" | "anyOf" | "oneOf" => {
                (0..self.0.random_range(0..3)).map(|_| self.schema(depth - 1)).collect()
            }
            "required" | "x-kubernetes-list-map-keys" => json!([self.one(NAMES)]),
            "x-kubernetes-list-type" => self.one(&["set", "map", "atomic"]).into(),
            "nullable" | "x-kubernetes-preserve-unknown-fields" | "x-kubernetes-int-or-string" => {
                true.into()
            }
            "maxLength" | "minItems" | "maximum" | "minimum" | "multipleOf" => {
                self.0.random_range(0..4).into()
            }
            "x-kubernetes-validations" => json!([{"rule": self.one(TEXTS),
                "fieldPath": self.one(TEXTS), "message": self.one(TEXTS)}]),
            _ => self.value(2),
        }
    }
}

fn describe(_: &str, _: &str) -> &'static str {
    ""
}

#[test]
fn nothing_panics_and_twice_is_as_once() {
    let mut compiled = 0;
    for seed in 0..ROUNDS {
        let mut any = Any(StdRng::seed_from_u64(seed));
        let source = any.schema(4);
        definition(&mut any, &source);
        let Ok(schema) = Schema::compile(&source) else { continue };
        compiled += 1;
        let names = Names {
            group: "g.example",
            version: "v1",
            kind: "K",
            list_kind: "KList",
            plural: "ks",
        };
        schema.openapi_v3(names, describe);
        schema.openapi_v2(names, describe);
        for _ in 0..5 {
            one(&schema, any.object(4), any.object(4), &source);
        }
    }
    assert!(compiled > ROUNDS / 4, "only {compiled} schemas were tried");
}

fn one(schema: &Schema, mut object: Value, old: Value, source: &Value) {
    schema.prune(&mut object);
    let pruned = object.clone();
    assert!(schema.prune(&mut object).is_empty(), "{source} {pruned}");
    assert_eq!(object, pruned, "{source}");
    if schema.apply_defaults(&mut object).is_ok() {
        let filled = object.clone();
        schema.apply_defaults(&mut object).unwrap();
        assert_eq!(object, filled, "{source}");
    }
    schema.validate(&object, None);
    schema.validate(&object, Some(&old));
    if !source.to_string().contains("embedded") && !source.to_string().contains("x-kubernetes-val")
    {
        // Whatever it is, it may stay.
        assert_eq!(schema.validate(&object, Some(&object)), [], "{source} {object}");
    }
}

fn definition(any: &mut Any, schema: &Value) {
    let mut definition = json!({"metadata": {"name": "ks.g.example"}, "spec": {
        "group": "g.example", "scope": "Cluster", "names": {"plural": "ks", "kind": "K"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": schema}}]}});
    // Something in it is nonsense.
    let places = [
        "/spec/names",
        "/spec/versions",
        "/spec/versions/0",
        "/spec/conversion",
        "/spec/versions/0/selectableFields",
        "/spec/versions/0/additionalPrinterColumns",
        "/status",
    ];
    let old = definition.clone();
    let (parent, name) = any.one(&places).rsplit_once('/').unwrap();
    let value = any.value(3);
    if any.0.random_bool(0.5)
        && let Some(Value::Object(map)) = definition.pointer_mut(parent)
    {
        map.insert(name.into(), value);
    }
    default_definition(&mut definition);
    let once = definition.clone();
    default_definition(&mut definition);
    assert_eq!(definition, once);
    validate_definition(&definition, None);
    validate_definition(&definition, Some(&old));
    for path in TEXTS.iter().chain(&[".a..b", "..", ".a[?(@.b==1)]", ".[", "[*]", ".a[1:2:-3]"]) {
        let column = json!({"name": "C", "type": "string", "jsonPath": path});
        let columns = columns(&json!({"additionalPrinterColumns": [column]}));
        columns.row(&any.object(3), OffsetDateTime::UNIX_EPOCH);
    }
}
