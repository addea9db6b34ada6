//! Path items as JSON, in both editions.

use serde_json::{Map, Value, json};

use super::{
    Edition,
    operation::{Answer, Operation, PathItem, reason},
    parameter::Parameter,
};

/// The JSON of a path item.
pub(super) fn path_item(item: &PathItem, edition: Edition) -> Value {
    let mut out = Map::new();
    for operation in &item.operations {
        let rendered = match edition {
            Edition::V2 => v2(operation),
            Edition::V3 => v3(operation),
        };
        out.insert(operation.method.to_owned(), rendered);
    }
    if !item.parameters.is_empty() {
        out.insert("parameters".into(), parameters(&item.parameters, edition));
    }
    out.into()
}

fn parameters(all: &[Parameter], edition: Edition) -> Value {
    all.iter().map(|p| parameter(p, edition)).collect()
}

fn parameter(p: &Parameter, edition: Edition) -> Value {
    let mut out = json!({"name": p.name, "in": if p.in_path { "path" } else { "query" }});
    match edition {
        Edition::V2 => {
            out["type"] = p.ty.into();
            out["uniqueItems"] = true.into();
        }
        Edition::V3 => out["schema"] = json!({"type": p.ty, "uniqueItems": true}),
    }
    if !p.text.is_empty() {
        out["description"] = p.text.into();
    }
    if p.in_path {
        out["required"] = true.into();
    }
    out
}

fn common(operation: &Operation, edition: Edition) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("tags".into(), json!([operation.tag]));
    out.insert("operationId".into(), operation.id.as_str().into());
    out.insert("description".into(), operation.text.as_str().into());
    if !operation.action.is_empty() {
        out.insert("x-kubernetes-action".into(), operation.action.into());
    }
    if let Some(gvk) = &operation.gvk {
        out.insert("x-kubernetes-group-version-kind".into(), gvk.clone());
    }
    if !operation.parameters.is_empty() {
        out.insert("parameters".into(), parameters(&operation.parameters, edition));
    }
    out
}

fn schema(answer: &Answer, edition: Edition) -> Value {
    match answer {
        Answer::Definition(name) => json!({"$ref": edition.reference(name)}),
        Answer::Text => json!({"type": "string"}),
    }
}

fn v3(operation: &Operation) -> Value {
    let content = |media: &[&str], schema: &Value| -> Value {
        let entries = media.iter().map(|m| ((*m).to_owned(), json!({"schema": schema})));
        Value::Object(entries.collect())
    };
    let mut out = common(operation, Edition::V3);
    if let Some((definition, required)) = &operation.body {
        let schema = json!({"$ref": Edition::V3.reference(definition)});
        let mut body = json!({"content": content(operation.consumes, &schema)});
        if *required {
            body["required"] = true.into();
        }
        out.insert("requestBody".into(), body);
    }
    let mut responses = Map::new();
    for (code, answer) in &operation.answers {
        let schema = schema(answer, Edition::V3);
        responses.insert(
            code.to_string(),
            json!({"description": reason(*code), "content": content(operation.produces, &schema)}),
        );
    }
    responses.insert("401".into(), json!({"description": reason(401)}));
    out.insert("responses".into(), responses.into());
    out.into()
}

fn v2(operation: &Operation) -> Value {
    let mut out = common(operation, Edition::V2);
    out.insert("consumes".into(), operation.consumes.into());
    out.insert("produces".into(), operation.produces.into());
    out.insert("schemes".into(), json!(["https"]));
    if let Some((definition, required)) = &operation.body {
        let mut body = json!({"name": "body", "in": "body",
            "schema": {"$ref": Edition::V2.reference(definition)}});
        if *required {
            body["required"] = true.into();
        }
        let known = out.entry("parameters").or_insert_with(|| json!([]));
        if let Some(list) = known.as_array_mut() {
            list.insert(0, body);
        }
    }
    let mut responses = Map::new();
    for (code, answer) in &operation.answers {
        let schema = schema(answer, Edition::V2);
        let response = json!({"description": reason(*code), "schema": schema});
        responses.insert(code.to_string(), response);
    }
    responses.insert("401".into(), json!({"description": reason(401)}));
    out.insert("responses".into(), responses.into());
    out.into()
}
