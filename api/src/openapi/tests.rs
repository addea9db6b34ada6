use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::kind;

fn v3(document: &str) -> Value {
    let mut out = Vec::new();
    assert!(write_v3(document, &[], "v1.36.0", |_, _| "", &mut out).unwrap(), "{document}");
    serde_json::from_slice(&out).unwrap()
}

fn v2() -> Value {
    let mut out = Vec::new();
    write_v2("v1.36.0", &[], |_, _| "", &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        found.insert(text.rsplit('/').next().unwrap().to_owned());
                    }
                    other => references(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Every reference leads somewhere, and every definition is referred to.
fn closed(document: &Value, definitions: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    let there: BTreeSet<String> = definitions.as_object().unwrap().keys().cloned().collect();
    assert_eq!(found, there);
}

#[test]
fn every_document_is_closed() {
    for name in documents(&[]) {
        let document = v3(&name);
        closed(&document, &document["components"]["schemas"]);
    }
    let document = v2();
    closed(&document, &document["definitions"]);
    assert!(!write_v3("apis/nope/v1", &[], "", |_, _| "", &mut Vec::new()).unwrap());
    assert!(!write_v3("api/v9", &[], "", |_, _| "", &mut Vec::new()).unwrap());
    assert!(!write_v3("apis//v1", &[], "", |_, _| "", &mut Vec::new()).unwrap());
}

#[test]
fn every_verb_of_every_kind_is_an_operation() {
    let document = v2();
    let ids: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id is used twice");
    for kind in kind::all() {
        let base = names::base(kind.group, kind.version);
        let inside = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{base}{inside}/{}", kind.plural);
        for verb in kind.verbs {
            let (path, method, action) = match *verb {
                "create" => (collection.clone(), "post", "post"),
                "list" => (collection.clone(), "get", "list"),
                "deletecollection" => (collection.clone(), "delete", "deletecollection"),
                "watch" => {
                    (collection.replacen(&base, &format!("{base}/watch"), 1), "get", "watchlist")
                }
                "get" => (format!("{collection}/{{name}}"), "get", "get"),
                "update" => (format!("{collection}/{{name}}"), "put", "put"),
                other => (format!("{collection}/{{name}}"), other, other),
            };
            let operation = &document["paths"][&path][method];
            assert_eq!(operation["x-kubernetes-action"], action, "{path} {method}");
            let gvk = &operation["x-kubernetes-group-version-kind"];
            assert_eq!(gvk["kind"], kind.kind, "{path} {method}");
        }
        for sub in kind.subresources {
            let path = format!("{collection}/{{name}}/{}", sub.name);
            assert_eq!(document["paths"].get(&path).is_some(), sub.served, "{path}");
        }
        let definition = &document["definitions"][names::of_kind(kind)];
        let gvks = definition["x-kubernetes-group-version-kind"].as_array().unwrap();
        let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        assert!(gvks.contains(&own), "{}", kind.kind);
    }
}

#[test]
fn schemas_say_how_lists_merge() {
    let document = v3("api/v1");
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(
        containers,
        &json!({
            "type": "array",
            "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}],
                "default": {}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": "name",
        })
    );
    let spec = &schemas["io.k8s.api.core.v1.PodSpec"];
    assert_eq!(spec["required"], json!(["containers"]));
    let volumes = &spec["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(spec["properties"]["nodeSelector"]["x-kubernetes-map-type"], "atomic");
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    assert!(schemas["io.k8s.api.core.v1.Pod"].get("required").is_none());
    let quantity = &schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity["oneOf"][1], json!({"type": "number"}));
}

#[test]
fn descriptions_stand_beside_references() {
    let describe: Describe = |definition, field| match (definition, field) {
        ("io.k8s.api.core.v1.Pod", "spec") => "what is wanted",
        ("io.k8s.api.core.v1.Pod", "") => "runs containers",
        _ => "",
    };
    let mut out = Vec::new();
    write_v3("api/v1", &[], "v", describe, &mut out).unwrap();
    let document: Value = serde_json::from_slice(&out).unwrap();
    let pod = &document["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["description"], "runs containers");
    assert_eq!(
        pod["properties"]["spec"],
        json!({"description": "what is wanted",
            "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]})
    );
    let mut out = Vec::new();
    write_v2("v", &[], describe, &mut out).unwrap();
    let document: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        document["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"],
        json!({"description": "what is wanted", "$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"})
    );
}

/// A document, one line for each path and each definition. Left out is what names every group
/// version there is.
fn lines(document: &Value) -> String {
    let mut out = String::new();
    for part in [&document["paths"], &document["components"]["schemas"]] {
        for (name, value) in part.as_object().unwrap() {
            if name.ends_with(".DeleteOptions") || name.ends_with(".WatchEvent") {
                continue;
            }
            out += &format!("{name} {value}\n");
        }
    }
    out
}

/// A small group as a whole: what changes here, clients see. `KABUKI_GOLDEN=1` writes it anew.
#[test]
fn the_document_of_coordination_is_as_recorded() {
    let found = lines(&v3("apis/coordination.k8s.io/v1"));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/openapi/coordination.txt");
    if std::env::var_os("KABUKI_GOLDEN").is_some() {
        std::fs::write(golden, &found).unwrap();
    }
    let recorded = std::fs::read_to_string(golden).unwrap();
    for (found, recorded) in found.lines().zip(recorded.lines()) {
        assert_eq!(found, recorded);
    }
    assert_eq!(found.lines().count(), recorded.lines().count());
}
