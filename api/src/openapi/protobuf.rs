//! The document of version 2 as protobuf, `openapi.v2.Document` (gnostic-models
//! `openapiv2/OpenAPIv2.proto`), as far as kubectl and client-go read it.

use serde_json::Value;

use super::{
    Describe, Edition,
    definition::Definitions,
    document,
    operation::{Answer, Operation, PathItem, reason},
    parameter::Parameter,
};
use crate::kind::Kind;

/// Bytes of one message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or_default());
    }

    fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.varint((tag << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, tag: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(tag, text.as_bytes());
        }
    }

    fn truth(&mut self, tag: u64, value: bool) {
        if value {
            self.varint(tag << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, tag: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(tag, &inner.0);
    }

    /// A `NamedAny` whose value is YAML; JSON is.
    fn extension(&mut self, tag: u64, name: &str, value: &Value) {
        self.message(tag, |named| {
            named.text(1, name);
            named.message(2, |any| any.text(2, &value.to_string()));
        });
    }
}

/// The document. `version` is the server's.
pub fn v2(version: &str, custom: &[&'static Kind], describe: Describe) -> Vec<u8> {
    let mut items = document::all_items(custom);
    items.sort_by(|a, b| a.path.cmp(&b.path));
    let mut out = Message::default();
    out.text(1, "2.0");
    out.message(2, |info| {
        info.text(1, "Kubernetes");
        info.text(2, version);
    });
    out.message(8, |paths| {
        for item in &items {
            paths.message(2, |named| {
                named.text(1, &item.path);
                named.message(2, |value| path_item(item, value));
            });
        }
    });
    let wanted = items.iter().flat_map(PathItem::definitions).map(str::to_owned).collect();
    let definitions = Definitions::new(Edition::V2, describe, custom);
    out.message(9, |all| {
        for name in document::reachable(wanted, &definitions) {
            let Some(value) = definitions.find(&name) else { continue };
            all.message(1, |named| named_schema(&name, &value, named));
        }
    });
    out.0
}

fn path_item(item: &PathItem, out: &mut Message) {
    for operation in &item.operations {
        let tag = match operation.method {
            "get" => 2,
            "put" => 3,
            "post" => 4,
            "delete" => 5,
            "options" => 6,
            "head" => 7,
            _ => 8,
        };
        out.message(tag, |value| write_operation(operation, value));
    }
    for one in &item.parameters {
        out.message(9, |value| parameter(one, value));
    }
}

fn write_operation(operation: &Operation, out: &mut Message) {
    out.text(1, &operation.tag);
    out.text(3, &operation.text);
    out.text(5, &operation.id);
    operation.produces.iter().for_each(|media| out.text(6, media));
    operation.consumes.iter().for_each(|media| out.text(7, media));
    if let Some((definition, required)) = &operation.body {
        out.message(8, |item| {
            item.message(1, |parameter| {
                parameter.message(1, |body| {
                    body.text(2, "body");
                    body.text(3, "body");
                    body.truth(4, *required);
                    body.message(5, |schema| schema.text(1, &Edition::V2.reference(definition)));
                });
            });
        });
    }
    for one in &operation.parameters {
        out.message(8, |value| parameter(one, value));
    }
    out.message(9, |responses| {
        for (code, answer) in &operation.answers {
            response(*code, Some(answer), responses);
        }
        response(401, None, responses);
    });
    out.text(10, "https");
    if !operation.action.is_empty() {
        out.extension(13, "x-kubernetes-action", &operation.action.into());
    }
    if let Some(gvk) = &operation.gvk {
        out.extension(13, "x-kubernetes-group-version-kind", gvk);
    }
}

fn response(code: u16, answer: Option<&Answer>, out: &mut Message) {
    out.message(1, |named| {
        named.text(1, &code.to_string());
        named.message(2, |value| {
            value.message(1, |response| {
                response.text(1, reason(code));
                let Some(answer) = answer else { return };
                response.message(2, |item| {
                    item.message(1, |schema| match answer {
                        Answer::Definition(name) => schema.text(1, &Edition::V2.reference(name)),
                        Answer::Text => schema.message(22, |ty| ty.text(1, "string")),
                    });
                });
            });
        });
    });
}

fn parameter(one: &Parameter, out: &mut Message) {
    let (kind, place, ty) = if one.in_path { (4, "path", 5) } else { (3, "query", 6) };
    out.message(1, |parameter| {
        parameter.message(2, |other| {
            other.message(kind, |value| {
                value.truth(1, one.in_path);
                value.text(2, place);
                value.text(3, one.text);
                value.text(4, one.name);
                value.text(ty, one.ty);
            });
        });
    });
}

fn named_schema(name: &str, value: &Value, out: &mut Message) {
    out.text(1, name);
    out.message(2, |inner| schema(value, inner));
}

fn schema(value: &Value, out: &mut Message) {
    let Some(map) = value.as_object() else { return };
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
    out.text(1, text("$ref"));
    out.text(2, text("format"));
    out.text(4, text("description"));
    for name in map.get("required").and_then(Value::as_array).into_iter().flatten() {
        out.text(19, name.as_str().unwrap_or_default());
    }
    if let Some(values) = map.get("additionalProperties") {
        out.message(21, |item| item.message(1, |inner| schema(values, inner)));
    }
    if !text("type").is_empty() {
        out.message(22, |ty| ty.text(1, text("type")));
    }
    if let Some(items) = map.get("items") {
        out.message(23, |item| item.message(1, |inner| schema(items, inner)));
    }
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        out.message(25, |all| {
            for (name, value) in properties {
                all.message(1, |named| named_schema(name, value, named));
            }
        });
    }
    for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
        out.extension(31, name, value);
    }
}
