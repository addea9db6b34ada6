//! Definitions and upstream's words for what is wrong with them.

use serde_json::{Value, json};

use super::*;

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"replicas": {"type": "integer"}}}}});
    let mut object = json!({"apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition", "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}});
    default_definition(&mut object);
    object
}

/// The definition with its schema replaced.
fn with_schema(schema: Value) -> Value {
    let mut object = definition();
    object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
    object
}

fn found(object: &Value, old: Option<&Value>) -> Vec<String> {
    validate_definition(object, old).iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_set_once() {
    let mut object = definition();
    let names = &object["spec"]["names"];
    assert_eq!(
        (&names["singular"], &names["listKind"]),
        (&json!("crontab"), &json!("CronTabList"))
    );
    assert_eq!(object["spec"]["conversion"], json!({"strategy": "None"}));
    let once = object.clone();
    default_definition(&mut object);
    assert_eq!(object, once);
    for nonsense in [json!(null), json!({"spec": 1}), json!({"spec": {"names": []}})] {
        let mut nonsense = nonsense;
        default_definition(&mut nonsense);
        validate_definition(&nonsense, Some(&nonsense));
    }
}

#[test]
fn a_plain_definition_holds() {
    assert_eq!(found(&definition(), None), Vec::<String>::new());
}

/// A change at a pointer and the messages it gives.
#[test]
fn what_is_wrong_with_a_definition() {
    const LABEL: &str = crate::name::DNS1035_MESSAGE;
    for (pointer, value, want) in [
        ("/metadata/name", json!("x.y"), vec!["metadata.name: Invalid value: \"x.y\": must be spec.names.plural+\".\"+spec.group".to_owned()]),
        ("/spec/scope", json!("Global"), vec!["spec.scope: Unsupported value: \"Global\": supported values: \"Cluster\", \"Namespaced\"".into()]),
        ("/spec/scope", json!(""), vec!["spec.scope: Required value".into()]),
        ("/spec/names/kind", json!("Cron_Tab"), vec![format!("spec.names.kind: Invalid value: \"Cron_Tab\": may have mixed case, but should otherwise match: {LABEL}")]),
        ("/spec/names/listKind", json!("CronTab"), vec!["spec.names.listKind: Invalid value: \"CronTab\": kind and listKind may not be the same".into()]),
        ("/spec/versions/0/storage", json!(false), vec![]),
        ("/spec/versions/0/name", json!("1"), vec![format!("spec.versions[0].name: Invalid value: \"1\": {LABEL}")]),
        ("/spec/versions/0/schema", json!(null), vec!["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required".into()]),
        ("/spec/versions/0/deprecationWarning", json!("x"), vec!["spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions".into()]),
        ("/spec/preserveUnknownFields", json!(true), vec!["spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead".into()]),
        ("/spec/versions/0/subresources", json!({"scale": {"specReplicasPath": ".status.x"}}), vec![
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec".into(),
            "spec.subresources.scale.statusReplicasPath: Required value".into()]),
        ("/spec/versions/0/additionalPrinterColumns", json!([{"type": "x", "jsonPath": "a"}]), vec![
            "spec.additionalPrinterColumns[0].name: Required value".into(),
            "spec.additionalPrinterColumns[0].type: Invalid value: \"x\": must be one of boolean,date,integer,number,string".into(),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a simple json path starting with .".into()]),
        ("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec"}, {"jsonPath": ".spec.x"},
            {"jsonPath": ".spec.replicas"}, {"jsonPath": ".spec.replicas"}]), vec![
            "spec.selectableFields[0].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.".into(),
            "spec.selectableFields[1].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid field".into(),
            "spec.selectableFields[3].jsonPath: Duplicate value: \".spec.replicas\"".into()]),
        ("/spec/conversion", json!({"strategy": "Webhook"}), vec![
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook".into(),
            "spec.conversion.conversionReviewVersions: Required value".into()]),
        ("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"],
            "clientConfig": {"url": "http://x"}}}), vec![
            "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]".into(),
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1".into()]),
    ] {
        let mut object = definition();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value;
        let found = found(&object, None);
        if pointer.ends_with("storage") {
            assert!(found[0].ends_with("must have exactly one version marked as storage version"));
        } else {
            assert_eq!(found, want, "{pointer}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_schema() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let map = |keys: Value, item: Value| {
        object(json!({"l": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": keys, "items": item}}))
    };
    for (schema, want) in [
        (json!({}), &[".type: Required value: must not be empty at the root"][..]),
        (
            json!({"type": "string"}),
            &[".type: Invalid value: \"string\": must be object at the root"],
        ),
        (
            object(json!({"spec": {}})),
            &[
                ".properties[spec].type: Required value: must not be empty for specified object fields",
            ],
        ),
        (
            object(json!({"l": {"type": "array"}})),
            &[".properties[l].items: Required value: must be specified"],
        ),
        (
            object(json!({"l": {"type": "array", "items": {}}})),
            &[
                ".properties[l].items.type: Required value: must not be empty for specified array items",
            ],
        ),
        (
            object(json!({"a": {"type": "float"}})),
            &[
                ".properties[a].type: Unsupported value: \"float\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
        (
            object(json!({"a": {"type": "string", "anyOf": [{"type": "string"}]}})),
            &[".properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            object(
                json!({"a": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}}),
            ),
            &[],
        ),
        (
            object(
                json!({"a": {"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^x"}]}}),
            ),
            &[],
        ),
        (
            object(
                json!({"a": {"type": "object", "allOf": [{"properties": {"b": {"minimum": 1}}}]}}),
            ),
            &[
                ".properties[a].properties[b]: Required value: because it is defined in spec.validation.openAPIV3Schema.properties[a].allOf[0].properties[b]",
            ],
        ),
        (
            object(json!({"a": {"type": "string", "pattern": "("}})),
            &[
                ".properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: unclosed group: `(`",
            ],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            &[".additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            object(
                json!({"m": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}}),
            ),
            &[
                ".properties[m].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        ),
        (
            object(
                json!({"metadata": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}}),
            ),
            &[],
        ),
        (
            object(
                json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}),
            ),
            &[
                ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            object(json!({"kind": {"type": "integer"}})),
            &[".properties[kind].type: Invalid value: \"integer\": must be string"],
        ),
        (
            object(json!({"kind": {"type": "string", "default": "x"}})),
            &[".properties[kind].default: Forbidden: must not be set in top-level kind"],
        ),
        (
            object(
                json!({"a": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}}),
            ),
            &[
                ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ],
        ),
        (
            object(json!({"a": {"type": "object", "$ref": "#/x"}})),
            &[".properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            object(json!({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": false}})),
            &[
                ".properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
            ],
        ),
        (
            object(json!({"a": {"type": "object", "x-kubernetes-embedded-resource": true}})),
            &[
                ".properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            object(json!({"a": {"type": "object", "x-kubernetes-map-type": "set"}})),
            &[
                ".properties[a].x-kubernetes-map-type: Unsupported value: \"set\": supported values: \"atomic\", \"granular\"",
            ],
        ),
        (
            object(json!({"a": {"type": "string", "x-kubernetes-list-type": "set"}})),
            &[
                ".properties[a].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            ],
        ),
        (
            object(
                json!({"a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}}),
            ),
            &[
                ".properties[a].items.x-kubernetes-map-type: Invalid value: \"null\": must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            map(json!([]), object(json!({}))),
            &[
                ".properties[l].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            ],
        ),
        (
            map(json!(["a"]), json!({"type": "string"})),
            &[
                ".properties[l].items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
            ],
        ),
        (
            map(json!(["a"]), object(json!({}))),
            &[
                ".properties[l].x-kubernetes-list-map-keys: Invalid value: [\"a\"]: entries must all be names of item properties",
            ],
        ),
        (
            map(json!(["a"]), object(json!({"a": {"type": "string"}}))),
            &[
                ".properties[l].items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
        (
            object(json!({"a": {"type": "integer", "default": "x"}})),
            &[
                ".properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
            ],
        ),
        (
            object(json!({"a": {"type": "object", "default": {"b": 1}}})),
            &[".properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields"],
        ),
        (
            object(
                json!({"a": {"type": "object", "default": {}, "required": ["b"], "properties": {"b": {"type": "string"}}}}),
            ),
            &[".properties[a].default.b: Required value"],
        ),
        (
            object(
                json!({"a": {"type": "string", "x-kubernetes-validations": [{"rule": " "}, {"rule": "true", "reason": "X", "fieldPath": ".b"}]}}),
            ),
            &[
                ".properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified",
                ".properties[a].x-kubernetes-validations[1].reason: Unsupported value: \"X\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
                ".properties[a].x-kubernetes-validations[1].fieldPath: Invalid value: \".b\": fieldPath must be a valid path",
            ],
        ),
    ] {
        let want: Vec<_> =
            want.iter().map(|w| format!("spec.validation.openAPIV3Schema{w}")).collect();
        assert_eq!(found(&with_schema(schema.clone()), None), want, "{schema}");
    }
}

#[test]
fn with_a_status_the_root_says_little() {
    let mut object = with_schema(json!({"type": "object", "oneOf": [{}]}));
    object["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    let found = found(&object, None);
    assert!(found[0].starts_with("spec.validation.openAPIV3Schema: Invalid value: {"), "{found:?}");
    assert!(found[0].ends_with("XValidations] fields are allowed at the root of the schema if the status subresource is enabled"), "{found:?}");
}

#[test]
fn versions_that_differ_have_paths_of_their_own() {
    let mut object = definition();
    let mut second = object["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    second["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {"x": {}}});
    object["spec"]["versions"].as_array_mut().unwrap().push(second);
    assert_eq!(
        found(&object, None),
        [
            "spec.versions[1].schema.openAPIV3Schema.properties[x].type: Required value: must not be empty for specified object fields"
        ]
    );
    object["spec"]["versions"][1]["name"] = "v1".into();
    assert!(found(&object, None).iter().any(|m| m.ends_with("must contain unique version names")));
}

#[test]
fn changes() {
    let mut old = definition();
    old["status"] = json!({"storedVersions": ["v1"],
        "conditions": [{"type": "Established", "status": "True"}]});
    assert_eq!(found(&old, Some(&old)), Vec::<String>::new());
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["group"] = "other.example.com".into();
    assert_eq!(
        found(&new, Some(&old)),
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.group: Invalid value: \"other.example.com\": field is immutable",
        ]
    );
    let mut new = old.clone();
    new["spec"]["versions"][0]["name"] = "v2".into();
    assert_eq!(
        found(&new, Some(&old)),
        [
            "status.storedVersions: Invalid value: [\"v1\"]: must have the storage version v2",
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions",
        ]
    );
}

#[test]
fn groups_of_the_community_are_approved() {
    let mut object = definition();
    object["spec"]["group"] = "x.k8s.io".into();
    object["metadata"]["name"] = "crontabs.x.k8s.io".into();
    let path = "metadata.annotations[api-approved.kubernetes.io]";
    let proposal = "see https://github.com/kubernetes/enhancements/pull/1111";
    assert_eq!(
        found(&object, None),
        [format!(
            "{path}: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", {proposal}"
        )]
    );
    object["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "yes"});
    assert!(found(&object, None)[0].contains("with either a URL or a reason starting with"));
    for good in ["https://github.com/x/y/pull/1", "unapproved, experimental"] {
        object["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": good});
        assert_eq!(found(&object, None), Vec::<String>::new());
    }
}
