//! The schema of a version (`ValidateCustomResourceDefinitionOpenAPISchema`).

use serde_json::Value;

use super::{Errors, defaults, list, present, rules, structural, text};
use crate::{
    crd::node::{META_FIELDS, Schema},
    validate::FieldError,
};

/// Fields that the root of a schema may have when there is a status, as Go names them.
const ROOT_FIELDS: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];
const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Checks the `openAPIV3Schema` at `path`. `before` is what the stored definition has there: what is
/// as it was has been checked.
pub(super) fn check(
    out: &mut Errors,
    root: &Value,
    path: &str,
    has_status: bool,
    before: Option<&Value>,
) {
    if has_status {
        root_with_status(out, root, path);
    }
    if root["nullable"] == true {
        let path = format!("{path}.nullable");
        out.push(FieldError::forbidden(path, "nullable cannot be true at the root"));
    }
    if before == Some(root) {
        return;
    }
    let found = structural::check(root, path);
    let is_structural = found.is_empty();
    out.extend(found);
    let mut rules = Vec::new();
    node(&mut rules, root, path, &Place::default(), true);
    let holds = rules.is_empty();
    out.append(&mut rules);
    if !is_structural || !holds {
        return;
    }
    match Schema::compile(root) {
        Ok(schema) => {
            out.extend(defaults::check(&schema.root, path));
            rules::old_values(out, &schema.root, root, path, None);
        }
        Err(found) => out.extend(found.into_iter().map(|mut error| {
            error.path = error.path.replacen("openAPIV3Schema", path, 1);
            error
        })),
    }
}

fn root_with_status(out: &mut Errors, root: &Value, path: &str) {
    let is_zero = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    for (name, value) in root.as_object().into_iter().flatten().filter(|(_, v)| !is_zero(v)) {
        if name == "type" && value != "object" {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            out.push(FieldError::invalid(format!("{path}.type"), value.clone(), detail));
            return;
        }
        if !ROOT_FIELDS.iter().any(|(field, _)| field == name) {
            let allowed: Vec<&str> = ROOT_FIELDS.iter().map(|(_, go)| *go).collect();
            let allowed = allowed.join(" ");
            let detail = format!(
                "only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
            );
            out.push(FieldError::invalid(path, root.clone(), detail));
            return;
        }
    }
}

/// Where in the schema of an object a schema is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Why there may be no default.
    no_default: Option<String>,
    /// Inside of `apiVersion`, `kind` or `metadata` of the object or of an embedded one.
    in_meta: bool,
}

fn node(out: &mut Errors, schema: &Value, path: &str, place: &Place, is_root: bool) {
    supported(out, schema, path, place);
    if schema["uniqueItems"] == true {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        out.push(FieldError::forbidden(format!("{path}.uniqueItems"), detail));
    }
    let properties = schema["properties"].as_object().filter(|map| !map.is_empty());
    if let Some(additional) = present(schema, "additionalProperties") {
        let path = format!("{path}.additionalProperties");
        if properties.is_some() && *additional != true {
            let detail = "additionalProperties and properties are mutual exclusive";
            out.push(FieldError::forbidden(path.clone(), detail));
        }
        let mut place = place.clone();
        if place.in_meta {
            place.no_default =
                Some("inside additionalProperties applying to object metadata".into());
        }
        if additional.is_object() {
            node(out, additional, &path, &place, false);
        }
    }
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    for (name, property) in properties.into_iter().flatten() {
        let mut place = place.clone();
        if (is_root || embedded) && META_FIELDS.contains(&name.as_str()) {
            place.in_meta = true;
            if is_root {
                place.no_default = Some(format!("in top-level {name}"));
            }
        }
        node(out, property, &format!("{path}.properties[{name}]"), &place, false);
    }
    if let Some(not) = present(schema, "not") {
        node(out, not, &format!("{path}.not"), place, false);
    }
    for junction in ["allOf", "oneOf", "anyOf"] {
        for (i, inner) in list(&schema[junction]).iter().enumerate() {
            node(out, inner, &format!("{path}.{junction}[{i}]"), place, false);
        }
    }
    if let Some(items) = present(schema, "items").filter(|items| items.is_object()) {
        node(out, items, &format!("{path}.items"), place, false);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let path = format!("{path}.x-kubernetes-preserve-unknown-fields");
        out.push(FieldError::invalid(path, false, "must be true or undefined"));
    }
    map_type(out, schema, path);
    list_type(out, schema, path);
    rules::form(out, schema, path);
}

/// Fields of JSON Schema that structural schemas do not have.
fn supported(out: &mut Errors, schema: &Value, path: &str, place: &Place) {
    let ty = text(schema, "type");
    if !ty.is_empty() && !TYPES.contains(&ty) {
        out.push(FieldError::not_supported(format!("{path}.type"), ty, TYPES));
    }
    if let Some(reason) = &place.no_default
        && present(schema, "default").is_some()
    {
        let detail = format!("must not be set {reason}");
        out.push(FieldError::forbidden(format!("{path}.default"), detail));
    }
    for name in
        ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"]
    {
        let is_set = present(schema, name).is_some_and(|value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Object(map) => !map.is_empty() || name == "dependencies",
            _ => true,
        });
        if is_set {
            let detail = format!("{name} is not supported");
            out.push(FieldError::forbidden(format!("{path}.{name}"), detail));
        }
    }
    if ty == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        out.push(FieldError::forbidden(format!("{path}.type"), detail));
    }
    if !list(&schema["items"]).is_empty() {
        let detail = "items must be a schema object and not an array";
        out.push(FieldError::forbidden(format!("{path}.items"), detail));
    }
    if place.in_meta && schema["x-kubernetes-embedded-resource"] == true {
        let path = format!("{path}.x-kubernetes-embedded-resource");
        out.push(FieldError::forbidden(path, "must not be used inside of resource meta"));
    }
}

/// A type that an extension needs.
fn needs_type(out: &mut Errors, schema: &Value, path: &str, wanted: &str, extension: &str) -> bool {
    let ty = text(schema, "type");
    if ty == wanted {
        return true;
    }
    let detail = format!("must be {wanted} if {extension} is specified");
    let path = format!("{path}.type");
    out.push(match ty {
        "" => FieldError::required(path, detail),
        _ => FieldError::invalid(path, ty, detail),
    });
    false
}

fn map_type(out: &mut Errors, schema: &Value, path: &str) {
    const NAME: &str = "x-kubernetes-map-type";
    let Some(map_type) = present(schema, NAME).and_then(Value::as_str) else { return };
    needs_type(out, schema, path, "object", NAME);
    if !["atomic", "granular"].contains(&map_type) {
        let path = format!("{path}.{NAME}");
        out.push(FieldError::not_supported(path, map_type, &["atomic", "granular"]));
    }
}

fn list_type(out: &mut Errors, schema: &Value, path: &str) {
    const NAME: &str = "x-kubernetes-list-type";
    let list_type = present(schema, NAME).and_then(Value::as_str);
    let keys = list(&schema["x-kubernetes-list-map-keys"]);
    let items = present(schema, "items").filter(|items| items.is_object());
    let at = format!("{path}.{NAME}");
    if let Some(given) = list_type {
        if needs_type(out, schema, path, "array", NAME)
            && given == "set"
            && let Some(items) = items
        {
            set_items(out, items, path);
        }
        if !["atomic", "set", "map"].contains(&given) {
            out.push(FieldError::not_supported(at.clone(), given, &["atomic", "set", "map"]));
        }
    }
    if !keys.is_empty() && list_type != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        out.push(match list_type {
            None => FieldError::required(at, detail),
            Some(given) => FieldError::invalid(at, given, detail),
        });
    }
    if list_type == Some("map") {
        map_items(out, schema, items, path);
    }
    let (Some(kind @ ("set" | "map")), Some(items)) = (list_type, items) else { return };
    if items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        out.push(FieldError::forbidden(format!("{path}.items.nullable"), detail));
    }
    if kind == "map" {
        map_keys(out, items, keys, path);
    }
}

fn set_items(out: &mut Errors, items: &Value, path: &str) {
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = present(items, "x-kubernetes-list-type");
    match text(items, "type") {
        "array" => {
            if let Some(given) = list_type.filter(|given| *given != "atomic") {
                let path = format!("{path}.items.x-kubernetes-list-type");
                out.push(FieldError::invalid(path, given.clone(), detail));
            }
        }
        "object" if items["x-kubernetes-map-type"] != "atomic" => {
            let path = format!("{path}.items.x-kubernetes-map-type");
            // As upstream, the value shown is that of the list type.
            let shown = list_type.cloned().unwrap_or_else(|| "null".into());
            out.push(FieldError::invalid(path, shown, detail));
        }
        _ => {}
    }
}

fn map_items(out: &mut Errors, schema: &Value, items: Option<&Value>, path: &str) {
    let given = &schema["x-kubernetes-list-map-keys"];
    let at = format!("{path}.x-kubernetes-list-map-keys");
    if list(given).is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        out.push(FieldError::required(at.clone(), detail));
    }
    let Some(items) = items else {
        let path = format!("{path}.items");
        out.push(if list(&schema["items"]).is_empty() {
            FieldError::required(path, "must have a schema if x-kubernetes-list-type is map")
        } else {
            let detail = "must only have a single schema if x-kubernetes-list-type is map";
            FieldError::invalid(path, schema["items"].clone(), detail)
        });
        return;
    };
    let ty = text(items, "type");
    if ty != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        out.push(FieldError::invalid(format!("{path}.items.type"), ty, detail));
        return;
    }
    for (i, key) in list(given).iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        match present(&items["properties"], name) {
            None => {
                let detail = "entries must all be names of item properties";
                out.push(FieldError::invalid(at.clone(), given.clone(), detail));
            }
            Some(property) if ["array", "object"].contains(&text(property, "type")) => {
                let path = format!("{path}.items.properties[{name}].type");
                let detail =
                    "must be a scalar type if parent array's x-kubernetes-list-type is map";
                out.push(FieldError::invalid(path, ty, detail));
            }
            Some(_) => {}
        }
        if list(given)[..i].contains(key) {
            let detail = "must not contain duplicate entries";
            out.push(FieldError::invalid(at.clone(), given.clone(), detail));
        }
    }
}

fn map_keys(out: &mut Errors, items: &Value, keys: &[Value], path: &str) {
    for key in keys {
        let name = key.as_str().unwrap_or_default();
        let Some(property) = present(&items["properties"], name) else { continue };
        let path = format!("{path}.items.properties[{name}]");
        if !list(&items["required"]).contains(key) && present(property, "default").is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            out.push(FieldError::required(format!("{path}.default"), detail));
        }
        if property["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            out.push(FieldError::forbidden(format!("{path}.nullable"), detail));
        }
    }
}
