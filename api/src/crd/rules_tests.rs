//! Rules, and upstream's words for what breaks them.

use serde_json::{Value, json};

use super::{Schema, validate_definition};

/// A schema of `{"spec": {"x": …}}`.
fn of(schema: &Value) -> Schema {
    let root = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"x": schema}}}});
    Schema::compile(&root).unwrap_or_else(|e| panic!("{schema}: {e:?}"))
}

fn found(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    let whole = |x: &Value| json!({"apiVersion": "a/v1", "kind": "B", "spec": {"x": x}});
    let old = old.map(whole);
    of(schema).validate(&whole(value), old.as_ref()).iter().map(ToString::to_string).collect()
}

fn with_rule(mut schema: Value, rule: Value) -> Value {
    schema["x-kubernetes-validations"] = json!([rule]);
    schema
}

#[test]
fn rules_say_what_is_wrong() {
    let number = json!({"type": "integer"});
    let pair = json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "b": {"type": "integer"}}});
    for (schema, rule, value, want) in [
        (&number, json!({"rule": "self > 1"}), json!(2), &[][..]),
        (
            &number,
            json!({"rule": "self > 1"}),
            json!(1),
            &["spec.x: Invalid value: \"integer\": failed rule: self > 1"],
        ),
        (
            &number,
            json!({"rule": "self > 1", "message": " more! "}),
            json!(1),
            &["spec.x: Invalid value: \"integer\": more!"],
        ),
        (
            &number,
            json!({"rule": "self > 1", "message": "m", "messageExpression": "'got ' + string(self)"}),
            json!(1),
            &["spec.x: Invalid value: \"integer\": got 1"],
        ),
        (
            &number,
            json!({"rule": "self > 1", "message": "m", "messageExpression": "'a\\nb'"}),
            json!(1),
            &["spec.x: Invalid value: \"integer\": m"],
        ),
        (
            &number,
            json!({"rule": "1 / self > 1", "message": "m"}),
            json!(0),
            &["spec.x: Invalid value: \"integer\": division by zero evaluating rule: m"],
        ),
        (
            &pair,
            json!({"rule": "self.a < self.b", "reason": "FieldValueForbidden", "fieldPath": ".a", "message": "m"}),
            json!({"a": 2, "b": 1}),
            &["spec.x.a: Forbidden: m"],
        ),
        (
            &pair,
            json!({"rule": "has(self.a)", "reason": "FieldValueRequired", "message": "m"}),
            json!({"b": 1}),
            &["spec.x: Required value: m"],
        ),
        (
            &pair,
            json!({"rule": "self.a != self.b", "reason": "FieldValueDuplicate"}),
            json!({"a": 1, "b": 1}),
            &["spec.x: Duplicate value: \"object\""],
        ),
        (
            &pair,
            json!({"rule": "false"}),
            json!({"a": "x"}),
            &[
                "spec.x.a: Invalid value: \"string\": spec.x.a in body must be of type integer: \"string\"",
                "<nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ],
        ),
    ] {
        assert_eq!(found(&with_rule(schema.clone(), rule.clone()), &value, None), want, "{rule}");
    }
}

#[test]
fn rules_about_changes() {
    let number = json!({"type": "integer"});
    let fixed = with_rule(number.clone(), json!({"rule": "self == oldSelf", "message": "fixed"}));
    assert!(found(&fixed, &json!(1), None).is_empty());
    assert!(found(&fixed, &json!(1), Some(&json!(1))).is_empty());
    assert_eq!(
        found(&fixed, &json!(2), Some(&json!(1))),
        ["spec.x: Invalid value: \"integer\": fixed"]
    );
    let first = json!({"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": true});
    let first = with_rule(number, first);
    assert!(found(&first, &json!(1), None).is_empty());
    assert_eq!(found(&first, &json!(2), None).len(), 1);
    assert!(found(&first, &json!(3), Some(&json!(2))).is_empty());
}

#[test]
fn what_broke_a_rule_already_may_stay() {
    let item = |n: &str, v: i64, w: i64| json!({"n": n, "v": v, "w": w});
    let rule = json!({"rule": "self.v < 2", "message": "m"});
    let items = with_rule(
        json!({"type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer"},
            "w": {"type": "integer"}}}),
        rule,
    );
    let keyed = json!({"type": "array", "items": items, "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["n"]});
    let atomic = json!({"type": "array", "items": items, "x-kubernetes-list-type": "atomic"});
    let bad = |at: usize| vec![format!("spec.x[{at}]: Invalid value: \"object\": m")];
    let (a, b) = (item("a", 5, 0), item("b", 0, 0));
    for (schema, old, new, want) in [
        (&keyed, json!([a]), json!([b, a]), vec![]),
        (&keyed, json!([a]), json!([b, item("a", 5, 1)]), bad(1)),
        (&keyed, json!([]), json!([a]), bad(0)),
        (&atomic, json!([a]), json!([a]), vec![]),
        (&atomic, json!([a]), json!([a, b]), bad(0)),
    ] {
        assert_eq!(found(schema, &new, Some(&old)), want, "{old} {new}");
    }
}

#[test]
fn rules_reach_everywhere_and_see_the_whole_object_at_the_root() {
    let root = json!({"type": "object", "x-kubernetes-validations":
        [{"rule": "self.metadata.name.startsWith('a')", "message": "name"}],
        "properties": {"spec": {"type": "object", "additionalProperties":
            {"type": "array", "items": {"type": "string",
                "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}}}}});
    let schema = Schema::compile(&root).unwrap();
    let object = json!({"apiVersion": "a/v1", "kind": "B", "metadata": {"name": "b"},
        "spec": {"k": ["good", "bad"]}});
    let found: Vec<_> = schema.validate(&object, None).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "<nil>: Invalid value: \"object\": name",
            "spec[k][1]: Invalid value: \"string\": failed rule: self != 'bad'",
        ]
    );
}

#[test]
fn rules_that_cannot_be_evaluated_are_refused_with_the_definition() {
    let definition = |x: &Value| {
        json!({"metadata": {"name": "ks.g.example"}, "spec": {
        "group": "g.example", "scope": "Cluster",
        "names": {"plural": "ks", "singular": "k", "kind": "K", "listKind": "KList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
            {"type": "object", "properties": {"x": x}}}}]}})
    };
    let path = "spec.validation.openAPIV3Schema.properties[x]";
    let number = json!({"type": "integer"});
    let list = |inner: Value| json!({"type": "array", "items": inner});
    for (schema, want) in [
        (with_rule(number.clone(), json!({"rule": "self > 1"})), vec![]),
        (
            with_rule(number.clone(), json!({"rule": "self"})),
            vec![format!(
                "{path}.x-kubernetes-validations[0].rule: Invalid value: {{\"rule\":\"self\"}}: cel expression must evaluate to a bool"
            )],
        ),
        (
            with_rule(number.clone(), json!({"rule": "self > 1", "messageExpression": "1"})),
            vec![format!(
                "{path}.x-kubernetes-validations[0].messageExpression: Invalid value: {{\"messageExpression\":\"1\",\"rule\":\"self > 1\"}}: messageExpression must evaluate to a string"
            )],
        ),
        (
            with_rule(number.clone(), json!({"rule": "self > 1", "optionalOldSelf": true})),
            vec![format!(
                "{path}.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
            )],
        ),
        (
            list(with_rule(number.clone(), json!({"rule": "self == oldSelf"}))),
            vec![format!(
                "{path}.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within {path}"
            )],
        ),
    ] {
        let found: Vec<_> = validate_definition(&definition(&schema), None)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, want, "{schema}");
    }
    let unknown = definition(&with_rule(number, json!({"rule": "self > other"})));
    let found = validate_definition(&unknown, None);
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .detail
            .starts_with("compilation failed: ERROR: <input>:1:8: undeclared reference to 'other'"),
        "{}",
        found[0]
    );
}
