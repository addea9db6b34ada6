//! Values and upstream's words for what is wrong with them.

use serde_json::{Value, json};

use super::Schema;

/// Validates `{"spec": {"x": value}}` against a schema for `x`.
fn of(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    let root = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"x": schema}}}});
    let schema = Schema::compile(&root).unwrap();
    let whole = |x: &Value| json!({"spec": {"x": x}});
    let old = old.map(whole);
    let found = schema.validate(&whole(value), old.as_ref());
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn types() {
    let wrong = |ty: &str, found: &str| {
        vec![format!(
            "spec.x: Invalid value: \"{found}\": spec.x in body must be of type {ty}: \"{found}\""
        )]
    };
    for (schema, value, want) in [
        (json!({"type": "string"}), json!("a"), vec![]),
        (json!({"type": "string"}), json!(1), wrong("string", "integer")),
        (json!({"type": "string"}), json!(null), wrong("string", "null")),
        (json!({"type": "string", "nullable": true}), json!(null), vec![]),
        (json!({"type": "integer"}), json!("a"), wrong("integer", "string")),
        (json!({"type": "integer"}), json!(1.5), wrong("integer", "number")),
        (json!({"type": "integer"}), json!(1.0), vec![]),
        (json!({"type": "integer", "format": "int32"}), json!(1_i64 << 40), vec![]),
        (json!({"type": "number"}), json!(1), vec![]),
        (json!({"type": "boolean"}), json!({}), wrong("boolean", "object")),
        (json!({"type": "object"}), json!([]), wrong("object", "array")),
        (json!({"type": "array", "items": {"type": "string"}}), json!({}), wrong("array", "object")),
        (json!({"x-kubernetes-int-or-string": true}), json!("1"), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(1), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(true), wrong("integer,string", "boolean")),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), json!(null), vec![]),
        (json!({"type": "string", "format": "date"}), json!("x"), vec![
            "spec.x: Invalid value: \"x\": spec.x in body must be of type date: \"x\"".to_owned()]),
        (json!({"type": "string", "format": "date-time"}), json!(5), vec![
            "spec.x: Invalid value: \"int64\": spec.x in body must be of type date-time: \"int64\"".into()]),
    ] {
        assert_eq!(of(&schema, &value, None), want, "{schema} {value}");
    }
}

#[test]
fn checks() {
    for (schema, value, want) in [
        (
            json!({"type": "integer", "maximum": 10}),
            json!(15),
            "spec.x: Invalid value: 15: spec.x in body should be less than or equal to 10",
        ),
        (
            json!({"type": "integer", "maximum": 10, "exclusiveMaximum": true}),
            json!(10),
            "spec.x: Invalid value: 10: spec.x in body should be less than 10",
        ),
        (
            json!({"type": "number", "minimum": 0.5}),
            json!(0.25),
            "spec.x: Invalid value: 0.25: spec.x in body should be greater than or equal to 0.5",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            json!(7),
            "spec.x: Invalid value: 7: spec.x in body should be a multiple of 5",
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("äöü"),
            "spec.x: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("ä"),
            "spec.x: Invalid value: \"ä\": spec.x in body should be at least 2 chars long",
        ),
        (
            json!({"type": "string", "pattern": "^\\d+$"}),
            json!("x"),
            "spec.x: Invalid value: \"x\": spec.x in body should match '^\\d+$'",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            "spec.x: Unsupported value: \"c\": supported values: \"a\", \"b\"",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            "spec.x: Unsupported value: 3: supported values: \"1\", \"2\"",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}}),
            json!([1, 2]),
            "spec.x: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "integer"}}),
            json!([]),
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            "spec.x[1]: Invalid value: \"integer\": spec.x[1] in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"k": 1}),
            "spec.x.k: Invalid value: \"integer\": spec.x.k in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"k": 1}),
            "spec.x: Invalid value: \"k\": spec.x.k in body is a forbidden property",
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": true}),
            json!({"a": 1, "b": 1}),
            "spec.x: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 properties",
        ),
        (json!({"type": "object", "required": ["a"]}), json!({}), "spec.x.a: Required value"),
        (
            json!({"type": "string", "not": {"enum": ["a"]}}),
            json!("a"),
            "<nil>: Invalid value: \"\": \"spec.x\" must not validate the schema (not)",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "a", "a"]),
            "spec.x[1]: Duplicate value: \"a\"",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "string"}}}}),
            json!([{"n": "a"}, {"n": "b"}, {"n": "a"}]),
            "spec.x[2]: Duplicate value: {\"n\":\"a\"}",
        ),
    ] {
        assert_eq!(of(&schema, &value, None), [want], "{schema} {value}");
    }
}

#[test]
fn junctions() {
    let either = json!([{"required": ["a"]}, {"required": ["b"]}]);
    let both = json!({"a": 1, "b": 1});
    let any = json!({"type": "integer"});
    let with = |junction: &str, inner: &Value| {
        let mut schema = json!({"type": "object", "properties": {"a": any, "b": any}});
        schema[junction] = inner.clone();
        schema
    };
    for (junction, value, want) in [
        (
            "oneOf",
            json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found none valid",
                "spec.x.a: Required value",
            ][..],
        ),
        (
            "oneOf",
            both.clone(),
            &[
                "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        ("oneOf", json!({"a": 1}), &[]),
        (
            "anyOf",
            json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec.x\" must validate at least one schema (anyOf)",
                "spec.x.a: Required value",
            ],
        ),
        ("anyOf", both.clone(), &[]),
        ("allOf", both, &[]),
        (
            "allOf",
            json!({"a": 1}),
            &[
                "spec.x.b: Required value",
                "<nil>: Invalid value: \"\": \"spec.x\" must validate all the schemas (allOf)",
            ],
        ),
        (
            "allOf",
            json!({}),
            &[
                "spec.x.a: Required value",
                "spec.x.b: Required value",
                "<nil>: Invalid value: \"\": \"spec.x\" must validate all the schemas (allOf). None validated",
            ],
        ),
    ] {
        assert_eq!(of(&with(junction, &either), &value, None), want, "{junction} {value}");
    }
}

#[test]
fn what_was_wrong_already_and_did_not_change_is_let_be() {
    let list = |extra: Value| {
        let mut schema = json!({"type": "array", "items": {"type": "object", "properties":
            {"n": {"type": "string"}, "v": {"type": "integer", "maximum": 1}, "w": {}}}});
        schema.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        schema
    };
    let keyed = list(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}));
    let item = |n: &str, v: i64, w: i64| json!({"n": n, "v": v, "w": w});
    let bad = |at: usize| {
        vec![format!(
            "spec.x[{at}].v: Invalid value: 5: spec.x[{at}].v in body should be less than or equal to 1"
        )]
    };
    let number = json!({"type": "integer", "maximum": 1});
    for (schema, old, new, want) in [
        (number.clone(), json!(5), json!(5), vec![]),
        (
            number,
            json!(4),
            json!(5),
            vec![
                "spec.x: Invalid value: 5: spec.x in body should be less than or equal to 1"
                    .to_owned(),
            ],
        ),
        // By index.
        (list(json!({})), json!([item("a", 5, 0)]), json!([item("a", 5, 1)]), vec![]),
        (
            list(json!({})),
            json!([item("a", 5, 0)]),
            json!([item("b", 0, 0), item("a", 5, 0)]),
            bad(1),
        ),
        // By key.
        (keyed, json!([item("a", 5, 0)]), json!([item("b", 0, 0), item("a", 5, 0)]), vec![]),
        // Not at all, but for the whole.
        (
            list(json!({"x-kubernetes-list-type": "atomic"})),
            json!([item("a", 5, 0)]),
            json!([item("a", 5, 1)]),
            bad(0),
        ),
        (
            list(json!({"x-kubernetes-list-type": "atomic"})),
            json!([item("a", 5, 0)]),
            json!([item("a", 5, 0)]),
            vec![],
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "a"]),
            json!(["a", "a", "b"]),
            vec![],
        ),
        // A field that a new schema asks for is missing still, and more is not.
        (
            json!({"type": "object", "required": ["a"], "properties": {"b": {"type": "integer"}}}),
            json!({"b": 1}),
            json!({"b": 1}),
            vec![],
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"b": {"type": "integer"}}}),
            json!({"b": 1}),
            json!({"b": 2}),
            vec!["spec.x.a: Required value".into()],
        ),
    ] {
        assert_eq!(of(&schema, &new, Some(&old)), want, "{schema} {old} {new}");
    }
}

#[test]
fn embedded_resources_are_whole_objects() {
    let schema = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    for (value, want) in [
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}), &[][..]),
        (json!({}), &["spec.x.apiVersion: Required value", "spec.x.kind: Required value"]),
        (
            json!({"apiVersion": "a/b/c", "kind": "Pod"}),
            &["spec.x.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a.b"}}),
            &[
                "spec.x.metadata.namespace: Invalid value: \"a.b\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": 1}}),
            &[
                "spec.x.metadata: Invalid value: {\"labels\":1}: json: cannot unmarshal number into Go struct field ObjectMeta.labels of type map[string]string",
            ],
        ),
    ] {
        assert_eq!(of(&schema, &value, None), want, "{value}");
    }
}

#[test]
fn validation_ends() {
    // A hundred alternatives of alternatives for each of many items.
    let mut inner = json!({"required": ["missing"]});
    for _ in 0..3 {
        inner = json!({"anyOf": vec![inner; 20]});
    }
    let mut schema = json!({"type": "array", "items": {"type": "object"}});
    schema["items"]["anyOf"] = inner["anyOf"].take();
    let value = json!(vec![json!({}); 100_000]);
    let begun = std::time::Instant::now();
    let found = of(&schema, &value, None);
    assert!(found[0].contains("steps to validate"), "{}", found[0]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}
