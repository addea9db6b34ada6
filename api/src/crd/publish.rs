//! OpenAPI documents of a custom resource (`pkg/controller/openapi/{builder,v2}`): definitions only;
//! paths are those of every resource.

use serde_json::{Map, Value, json};

use super::node::Schema;
use crate::openapi::Describe;

/// Whose definitions are built.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// API group.
    pub group: &'a str,
    /// Version inside the group.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// Kind of the list.
    pub list_kind: &'a str,
    /// Resource name in URLs.
    pub plural: &'a str,
}

impl Names<'_> {
    /// Name of the definition of a kind of the group: `com.example.stable.v1.CronTab`.
    pub fn definition(&self, kind: &str) -> String {
        let group: Vec<&str> = self.group.split('.').rev().collect();
        format!("{}.{}.{kind}", group.join("."), self.version)
    }

    fn gvk(&self, kind: &str) -> Value {
        json!([{"group": self.group, "version": self.version, "kind": kind}])
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// A built-in kind whose descriptions of `apiVersion`, `kind` and `metadata` are those of all.
const LIKE: &str = "io.k8s.api.core.v1.Pod";
const LIST_LIKE: &str = "io.k8s.api.core.v1.PodList";
const GVK: &str = "x-kubernetes-group-version-kind";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

impl Schema {
    /// The definitions of the kind and of its list, by name, for OpenAPI v3: the schema as it was
    /// written, with the fields that every object has.
    pub fn openapi_v3(&self, names: Names<'_>, describe: Describe) -> Vec<(String, Value)> {
        Edition { prefix: "#/components/schemas/", v2: false, describe }.definitions(self, names)
    }

    /// The definitions for OpenAPI v2: without what that version does not have, and without what
    /// clients of it misread (`v2/conversion.go`).
    pub fn openapi_v2(&self, names: Names<'_>, describe: Describe) -> Vec<(String, Value)> {
        Edition { prefix: "#/definitions/", v2: true, describe }.definitions(self, names)
    }
}

struct Edition {
    prefix: &'static str,
    v2: bool,
    describe: Describe,
}

impl Edition {
    fn definitions(&self, schema: &Schema, names: Names<'_>) -> Vec<(String, Value)> {
        let mut kind = if self.v2 && schema.root.preserve {
            // With any property named, old clients would refuse all others.
            json!({"type": "object"})
        } else {
            let mut kind = schema.source.clone();
            if self.v2 {
                simplify(&mut kind);
            }
            self.embed(&mut kind);
            self.type_meta(&mut kind, LIKE);
            kind["properties"]["metadata"] = self.reference("ObjectMeta", LIKE);
            kind
        };
        kind[GVK] = names.gvk(names.kind);
        vec![
            (names.definition(names.kind), kind),
            (names.definition(names.list_kind), self.list(names)),
        ]
    }

    fn list(&self, names: Names<'_>) -> Value {
        let item = format!("{}{}", self.prefix, names.definition(names.kind));
        let about = format!(
            "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
            names.plural
        );
        let mut list = json!({
            "type": "object",
            "description": format!("{} is a list of {}", names.list_kind, names.kind),
            "required": ["items"],
            "properties": {
                "items": {"type": "array", "description": about, "items": {"$ref": item}},
                "metadata": self.reference("ListMeta", LIST_LIKE),
            },
        });
        self.type_meta(&mut list, LIST_LIKE);
        list[GVK] = names.gvk(names.list_kind);
        list
    }

    fn type_meta(&self, schema: &mut Value, like: &str) {
        for field in ["apiVersion", "kind"] {
            let described = (self.describe)(like, field);
            let mut text = json!({"type": "string"});
            if !described.is_empty() {
                text["description"] = described.into();
            }
            properties(schema).insert(field.into(), text);
        }
    }

    /// A reference to a definition of all kinds; version 3 has nothing beside a plain one.
    fn reference(&self, name: &str, like: &str) -> Value {
        let plain = json!({"$ref": format!("{}{META}.{name}", self.prefix)});
        let described = (self.describe)(like, "metadata");
        let mut out = match (self.v2, described) {
            (_, "") => return plain,
            (true, _) => plain,
            (false, _) => json!({"allOf": [plain]}),
        };
        out["description"] = described.into();
        out
    }

    /// Gives embedded resources the fields of an object.
    fn embed(&self, schema: &mut Value) {
        for_each_child(schema, &mut |child| self.embed(child));
        let embedded = schema["x-kubernetes-embedded-resource"] == true;
        if !embedded || (self.v2 && schema[PRESERVE] == true) {
            return;
        }
        self.type_meta(schema, LIKE);
        properties(schema).insert("metadata".into(), self.reference("ObjectMeta", LIKE));
        let mut required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|r| r == name) {
                required.push(name.into());
            }
        }
        schema["required"] = required.into();
    }
}

/// The properties of a schema, which has some afterwards.
fn properties(schema: &mut Value) -> &mut Map<String, Value> {
    if !schema.is_object() {
        *schema = json!({});
    }
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    match &mut schema["properties"] {
        Value::Object(map) => map,
        // It was made an object two lines above.
        _ => unreachable!("properties are an object"),
    }
}

/// Schemas declared right below one; junctions declare none.
fn for_each_child(schema: &mut Value, run: &mut dyn FnMut(&mut Value)) {
    let Some(map) = schema.as_object_mut() else { return };
    for name in ["items", "additionalProperties"] {
        if let Some(child) = map.get_mut(name).filter(|child| child.is_object()) {
            run(child);
        }
    }
    if let Some(Value::Object(children)) = map.get_mut("properties") {
        children.values_mut().for_each(run);
    }
}

fn simplify(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for name in ["allOf", "oneOf", "anyOf", "not"] {
        map.remove(name);
    }
    let is = |map: &Map<String, Value>, name: &str| map.get(name).is_some_and(|v| *v == true);
    if is(map, "nullable") {
        for name in ["type", "nullable", "items", "properties"] {
            map.remove(name);
        }
    }
    let preserves = is(map, PRESERVE);
    if preserves {
        map.remove("items");
        map.remove("properties");
    }
    let type_is = |map: &Map<String, Value>, ty: &str| map.get("type").is_some_and(|t| *t == ty);
    if (type_is(map, "array") && !map.contains_key("items"))
        || (preserves && type_is(map, "object"))
    {
        map.remove("type");
    }
    let may_be_null: Vec<String> = map
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["nullable"] == true)
        .map(|(name, _)| name.clone())
        .collect();
    let null_values =
        map.get("additionalProperties").is_some_and(|values| values["nullable"] == true);
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| {
            !null_values && !may_be_null.iter().any(|n| name.as_str() == Some(n.as_str()))
        });
        if required.is_empty() {
            map.remove("required");
        }
    }
    for_each_child(schema, &mut simplify);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names {
        group: "stable.example.com",
        version: "v1",
        kind: "CronTab",
        list_kind: "CronTabList",
        plural: "crontabs",
    };

    fn describe(_: &str, field: &str) -> &'static str {
        if field == "metadata" { "about it" } else { "" }
    }

    #[test]
    fn version_three_is_the_schema_with_what_all_objects_have() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "oneOf": [{}], "properties": {"n": {"type": "string", "nullable": true}}}}});
        let built = Schema::compile(&schema).unwrap().openapi_v3(NAMES, describe);
        let names: Vec<_> = built.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["com.example.stable.v1.CronTab", "com.example.stable.v1.CronTabList"]);
        let metadata = |name: &str| {
            json!({"description": "about it",
                "allOf": [{"$ref": format!("#/components/schemas/{META}.{name}")}]})
        };
        let text = json!({"type": "string"});
        let gvk =
            |kind: &str| json!([{"group": "stable.example.com", "version": "v1", "kind": kind}]);
        assert_eq!(
            built[0].1,
            json!({"type": "object", GVK: gvk("CronTab"), "properties": {
            "apiVersion": text, "kind": text, "metadata": metadata("ObjectMeta"),
            "spec": schema["properties"]["spec"]}})
        );
        let list = &built[1].1;
        assert_eq!(list[GVK], gvk("CronTabList"));
        assert_eq!(list["properties"]["metadata"], metadata("ListMeta"));
        assert_eq!(
            list["properties"]["items"]["items"]["$ref"],
            "#/components/schemas/com.example.stable.v1.CronTab"
        );
    }

    #[test]
    fn version_two_leaves_out_what_its_clients_misread() {
        let open = json!({"type": "object", PRESERVE: true, "properties": {"a": {}}});
        for (given, want) in [
            (
                json!({"type": "object", "anyOf": [{}], "allOf": [{}], "not": {}}),
                json!({"type": "object"}),
            ),
            (json!({"type": "string", "nullable": true}), json!({})),
            (open.clone(), json!({PRESERVE: true})),
            (json!({"type": "array", PRESERVE: true, "items": {}}), json!({PRESERVE: true})),
            (
                json!({"type": "object", "required": ["a", "b"],
                "properties": {"a": {"type": "string", "nullable": true}, "b": {"type": "string"}}}),
                json!({"type": "object", "required": ["b"],
                "properties": {"a": {}, "b": {"type": "string"}}}),
            ),
            (
                json!({"type": "object", "additionalProperties": open}),
                json!({"type": "object", "additionalProperties": {PRESERVE: true}}),
            ),
        ] {
            let schema = json!({"type": "object", "properties": {"x": given}});
            let built = Schema::compile(&schema).unwrap().openapi_v2(NAMES, describe);
            assert_eq!(built[0].1["properties"]["x"], want, "{given}");
        }
        let whole = Schema::compile(&open).unwrap().openapi_v2(NAMES, describe);
        assert_eq!(whole[0].1["properties"], json!(null));
    }

    #[test]
    fn embedded_resources_show_their_fields() {
        let schema = json!({"type": "object", "properties": {"t": {"type": "object",
            "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}}});
        let built = Schema::compile(&schema).unwrap().openapi_v3(NAMES, describe);
        let embedded = &built[0].1["properties"]["t"];
        assert_eq!(embedded["required"], json!(["kind", "apiVersion"]));
        let names: Vec<_> = embedded["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["apiVersion", "kind", "metadata", "spec"]);
    }
}
