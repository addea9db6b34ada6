//! Applies to custom resources, whose schema says how their values are owned.

use serde_json::{Value, json};

use super::{Owners, Writer};
use crate::{crd::Schema, kind::CONFIG_MAP};

fn schema() -> Schema {
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "port": {"type": "integer", "default": 80},
        "value": {"type": "string"}}});
    let list = |ty: &str| json!({"type": "array", "x-kubernetes-list-type": ty, "items": item});
    let mut keyed = list("map");
    keyed["x-kubernetes-list-map-keys"] = json!(["name", "port"]);
    let text = json!({"type": "string"});
    let atomic = json!({"type": "object", "x-kubernetes-map-type": "atomic",
        "properties": {"a": text, "b": text}});
    Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {
            "keyed": keyed,
            "atomic": list("atomic"),
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": text},
            "map": {"type": "object", "additionalProperties": text},
            "one": atomic,
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "n": {"type": "integer"}}}}}))
    .unwrap()
}

/// The kind gives no more than a name here: what is owned is the schema's to say.
fn writer<'a>(manager: &'a str, schema: &'a Schema) -> Writer<'a> {
    Writer {
        kind: CONFIG_MAP,
        manager,
        subresource: "",
        now: "2024-01-02T03:04:05Z",
        schema: Some(schema),
    }
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "d", "labels": {"l": "1"}}, "spec": spec})
}

fn fields(managed: Option<&str>) -> Value {
    let entries: Value = serde_json::from_str(managed.unwrap()).unwrap();
    entries[0]["fieldsV1"].clone()
}

#[test]
fn the_schema_says_what_is_owned() {
    let schema = schema();
    let config = object(json!({"keyed": [{"name": "x", "value": "1"}], "set": ["s"],
        "atomic": [{"name": "y"}], "map": {"k": "v"}, "one": {"a": "1"}, "free": {"x": {"y": 1}}}));
    let applied = writer("a", &schema).apply(None, None, &config, false).unwrap();
    let key = "k:{\"name\":\"x\",\"port\":80}";
    let want = json!({"f:metadata": {"f:labels": {"f:l": {}}}, "f:spec": {
        "f:keyed": {key: {".": {}, "f:name": {}, "f:value": {}}},
        "f:set": {"v:\"s\"": {}},
        "f:atomic": {},
        "f:map": {"f:k": {}},
        "f:one": {},
        "f:free": {"f:x": {"f:y": {}}}}});
    let mut found = fields(applied.managed.as_deref());
    // Free keys own what they hold as well.
    for path in ["/f:spec/f:map/f:k", "/f:spec/f:free/f:x", "/f:metadata/f:labels/f:l"] {
        found.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(".");
    }
    assert_eq!(found, want);
    assert_eq!(applied.object, config);
}

#[test]
fn items_are_told_apart_by_their_keys_and_defaults() {
    let schema = schema();
    let item = |name: &str, value: &str| json!({"name": name, "port": 80, "value": value});
    let live = object(json!({"keyed": [item("x", "1"), item("y", "2")]}));
    let managed = writer("u", &schema).create(&live, &Owners::Live);
    let config =
        object(json!({"keyed": [{"name": "y", "value": "2"}, {"name": "z", "value": "3"}],
        "set": ["b"]}));
    let applied =
        writer("a", &schema).apply(Some(&live), managed.as_deref(), &config, false).unwrap();
    assert_eq!(
        applied.object["spec"]["keyed"],
        json!([item("x", "1"), item("y", "2"), {"name": "z", "value": "3"}])
    );
    // Not applied any more, so gone; what the other wrote stays.
    let fewer = object(json!({"keyed": [{"name": "y", "value": "2"}]}));
    let again = writer("a", &schema)
        .apply(Some(&applied.object), applied.managed.as_deref(), &fewer, false)
        .unwrap();
    assert_eq!(again.object["spec"]["keyed"], json!([item("x", "1"), item("y", "2")]));
    assert_eq!(again.object["spec"]["set"], json!(null));
    // Another value of another's field is a conflict.
    let conflict = object(json!({"keyed": [{"name": "x", "value": "9"}]}));
    let refused =
        writer("a", &schema).apply(Some(&live), managed.as_deref(), &conflict, false).unwrap_err();
    assert_eq!(refused.code, 409);
    assert!(refused.message.contains(".spec.keyed[name=\"x\",port=80].value"), "{refused:?}");
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    let schema = schema();
    for (spec, want) in [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (json!({"n": "1"}), ".spec.n: expected numeric (int or float), got string"),
        (json!({"map": []}), ".spec.map: expected map, got &{[]}"),
        (
            json!({"keyed": [{"name": "a", "value": 1}]}),
            ".spec.keyed[name=\"a\",port=80].value: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            json!({"keyed": [{"name": "a"}, {"name": "a", "port": 80}]}),
            ".spec.keyed: duplicate entries for key [name=\"a\",port=80]",
        ),
        (
            json!({"keyed": [{"port": 1}]}),
            ".spec.keyed: element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)",
        ),
    ] {
        let refused = writer("a", &schema).apply(None, None, &object(spec), false).unwrap_err();
        assert_eq!(refused.code, 500);
        assert!(refused.message.ends_with(want), "{}", refused.message);
    }
}

#[test]
fn a_create_is_owned_as_an_apply_to_nothing_is() {
    let schema = schema();
    let new = object(json!({"keyed": [{"name": "x", "port": 80}], "map": {"k": "v"}, "n": 1}));
    let created = writer("u", &schema).create(&new, &Owners::Live);
    assert_eq!(
        fields(created.as_deref()),
        json!({"f:metadata": {"f:labels": {".": {}, "f:l": {}}}, "f:spec": {".": {},
            "f:keyed": {".": {}, "k:{\"name\":\"x\",\"port\":80}":
                {".": {}, "f:name": {}, "f:port": {}}},
            "f:map": {".": {}, "f:k": {}}, "f:n": {}}})
    );
}
