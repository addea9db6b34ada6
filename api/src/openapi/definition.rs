//! Schemas of messages, from the field table.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde_json::{Map, Value, json};

use super::{Describe, Edition, names};
use crate::{
    crd,
    kind::{self, Kind},
    schema::{
        self, Field, Message, Shape, Table, Type,
        topology::{self, ListType},
    },
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
/// What `/version` answers.
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// Fields of [`VERSION_INFO`]; all are required texts.
const VERSION_FIELDS: &[&str] = &[
    "buildDate",
    "compiler",
    "gitCommit",
    "gitTreeState",
    "gitVersion",
    "goVersion",
    "major",
    "minor",
    "platform",
];

/// Messages of discovery and watches.
static EXTRA: LazyLock<Table> = LazyLock::new(|| schema::read(include_str!("messages.txt")));

/// Makes definitions by name.
pub(super) struct Definitions {
    edition: Edition,
    describe: Describe,
    /// Definition name → the kinds whose objects it is.
    kinds: HashMap<String, Vec<Value>>,
    lists: HashMap<String, &'static Kind>,
    custom: HashMap<String, &'static Kind>,
}

impl Definitions {
    pub(super) fn new(edition: Edition, describe: Describe, custom: &[&'static Kind]) -> Self {
        let mut kinds: BTreeMap<String, Vec<(&str, &str, &str)>> = BTreeMap::new();
        let mut note = |definition: String, gvk| {
            let known = kinds.entry(definition).or_default();
            if !known.contains(&gvk) {
                known.push(gvk);
            }
        };
        let mut lists = HashMap::new();
        note(format!("{META}Status"), ("", "Status", "v1"));
        for kind in kind::all() {
            note(names::of_kind(kind), (kind.group, kind.kind, kind.version));
            if kind.has_verb("list") {
                note(names::of_list(kind), (kind.group, kind.list_kind, kind.version));
                lists.insert(names::of_list(kind), *kind);
            }
            for body in kind.subresources.iter().filter_map(|s| s.body) {
                let version = names::base(body.group, body.version);
                let version = version.trim_start_matches("/apis/").trim_start_matches("/api/");
                if let Some(found) = kind::by_kind(version, body.kind) {
                    note(names::of_kind(found), (found.group, found.kind, found.version));
                }
            }
            // These two exist in every group version.
            for shared in ["DeleteOptions", "WatchEvent"] {
                note(format!("{META}{shared}"), (kind.group, shared, kind.version));
            }
        }
        let both =
            |kind: &&'static Kind| [(names::of_kind(kind), *kind), (names::of_list(kind), *kind)];
        let custom = custom.iter().flat_map(both).collect();
        let gvk =
            |(group, kind, version)| json!({"group": group, "kind": kind, "version": version});
        let kinds = kinds.into_iter().map(|(d, k)| (d, k.into_iter().map(gvk).collect())).collect();
        Self { edition, describe, kinds, lists, custom }
    }

    /// A definition; `None` if there is none of this name.
    pub(super) fn find(&self, name: &str) -> Option<Value> {
        if let Some(kind) = self.custom.get(name) {
            return self.custom(kind, name);
        }
        let mut schema = if let Some(schema) = self.fixed(name) {
            schema
        } else if let Some(kind) = self.lists.get(name) {
            self.list(kind)
        } else {
            let message = names::message(name)?;
            let known = schema::table();
            let (table, message) = match known.by_name(message) {
                Some(found) => (known, found),
                None => (&*EXTRA, EXTRA.by_name(message)?),
            };
            self.object(table, message, name)
        };
        let text = (self.describe)(name, "");
        if !text.is_empty() {
            schema["description"] = text.into();
        }
        if let Some(kinds) = self.kinds.get(name) {
            schema["x-kubernetes-group-version-kind"] = kinds.clone().into();
        }
        Some(schema)
    }

    /// Definitions that are no message.
    fn fixed(&self, name: &str) -> Option<Value> {
        let v3 = self.edition == Edition::V3;
        Some(match name {
            QUANTITY if v3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            QUANTITY => json!({"type": "string"}),
            INT_OR_STRING if v3 => json!({"format": "int-or-string",
                "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            INT_OR_STRING => json!({"type": "string", "format": "int-or-string"}),
            RAW => json!({"type": "object"}),
            VERSION_INFO => {
                let fields: Map<String, Value> = VERSION_FIELDS
                    .iter()
                    .map(|f| ((*f).to_owned(), json!({"type": "string"})))
                    .collect();
                json!({"type": "object", "properties": fields, "required": VERSION_FIELDS})
            }
            _ => match name.strip_prefix(META)? {
                "Time" | "MicroTime" => json!({"type": "string", "format": "date-time"}),
                "Duration" => json!({"type": "string"}),
                "FieldsV1" | "Patch" => json!({"type": "object"}),
                _ => return None,
            },
        })
    }

    /// The definitions of a custom kind and of its list.
    fn custom(&self, kind: &Kind, name: &str) -> Option<Value> {
        let served = kind.served()?;
        let names = crd::Names {
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            list_kind: kind.list_kind,
            plural: kind.plural,
        };
        let made = match self.edition {
            Edition::V2 => served.schema.openapi_v2(names, self.describe),
            Edition::V3 => served.schema.openapi_v3(names, self.describe),
        };
        made.into_iter().find(|(own, _)| own == name).map(|(_, schema)| schema)
    }

    fn list(&self, kind: &Kind) -> Value {
        let name = names::of_list(kind);
        let text = || json!({"type": "string"});
        let mut items = json!({"type": "array", "items": self.referring(&names::of_kind(kind))});
        let mut metadata = self.reference(&format!("{META}ListMeta"), "");
        if self.edition == Edition::V3 {
            items["items"]["default"] = json!({});
            metadata["default"] = json!({});
        }
        let mut properties = json!({
            "apiVersion": text(), "items": items, "kind": text(), "metadata": metadata,
        });
        for field in ["apiVersion", "items", "kind", "metadata"] {
            let described = (self.describe)(&name, field);
            if !described.is_empty() {
                properties[field]["description"] = described.into();
            }
        }
        json!({"type": "object", "properties": properties, "required": ["items"]})
    }

    fn object(&self, table: &Table, message: &Message, name: &str) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields() {
            properties.insert(field.name.to_owned(), self.property(table, message, field, name));
            if is_required(table, field) {
                required.push(field.name);
            }
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if topology::is_atomic_struct(message.name) {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        schema
    }

    fn property(&self, table: &Table, message: &Message, field: &Field, name: &str) -> Value {
        let described = (self.describe)(name, field.name);
        let mut schema = match field.shape {
            Shape::One | Shape::Pointer => self.value(table, field, described),
            Shape::List => self.items_of(table, field, "array", "items"),
            Shape::Map => self.items_of(table, field, "object", "additionalProperties"),
        };
        if !described.is_empty() {
            schema["description"] = described.into();
        }
        match field.shape {
            Shape::List => list_extensions(&mut schema, message, field),
            Shape::Map if topology::is_atomic_map(message.name, field) => {
                schema["x-kubernetes-map-type"] = "atomic".into();
            }
            Shape::One | Shape::Pointer if topology::is_granular(message.name, field) => {
                schema["x-kubernetes-map-type"] = "granular".into();
            }
            Shape::One if field.required && self.edition == Edition::V3 => {
                if let Some(zero) = zero(field.ty) {
                    schema["default"] = zero;
                }
            }
            _ => {}
        }
        let strategy = match (field.merge, field.retain_keys) {
            (true, true) => "merge,retainKeys",
            (true, false) => "merge",
            (false, true) => "retainKeys",
            (false, false) if field.replace => "replace",
            (false, false) => return schema,
        };
        schema["x-kubernetes-patch-strategy"] = strategy.into();
        if let Some(key) = field.merge_key {
            schema["x-kubernetes-patch-merge-key"] = key.into();
        }
        schema
    }

    fn items_of(&self, table: &Table, field: &Field, ty: &str, inside: &str) -> Value {
        let mut item = self.value(table, field, "");
        if self.edition == Edition::V3
            && let Some(zero) = zero(field.ty)
        {
            item["default"] = zero;
        }
        json!({"type": ty, inside: item})
    }

    /// The schema of one value of a field.
    fn value(&self, table: &Table, field: &Field, described: &str) -> Value {
        let meta = |name: &str| self.reference(&format!("{META}{name}"), described);
        match field.ty {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Strings => json!({"type": "array", "items": {"type": "string"}}),
            Type::Time => meta("Time"),
            Type::MicroTime => meta("MicroTime"),
            Type::Duration => meta("Duration"),
            Type::FieldsV1 => meta("FieldsV1"),
            Type::Quantity => self.reference(QUANTITY, described),
            Type::IntOrString => self.reference(INT_OR_STRING, described),
            Type::Message(index) => {
                let message = table.get(index).map_or("", |m| m.name);
                self.reference(&names::definition(message), described)
            }
            // RawExtension, and whatever else is any JSON.
            _ => self.reference(RAW, described),
        }
    }

    /// A reference that other keys may stand beside: version 3 ignores what stands beside `$ref`.
    fn reference(&self, definition: &str, described: &str) -> Value {
        let plain = json!({"$ref": self.path(definition)});
        match self.edition {
            Edition::V2 if described.is_empty() => plain,
            Edition::V2 => json!({"$ref": self.path(definition), "description": described}),
            Edition::V3 => json!({"allOf": [plain]}),
        }
    }

    fn referring(&self, definition: &str) -> Value {
        self.reference(definition, "")
    }

    /// Where a definition is in the document.
    pub(super) fn path(&self, definition: &str) -> String {
        self.edition.reference(definition)
    }
}

fn list_extensions(schema: &mut Value, message: &Message, field: &Field) {
    let (ty, keys): (_, &[&str]) = match topology::list_type(message.name, field) {
        ListType::Atomic => ("atomic", &[]),
        ListType::Set => ("set", &[]),
        ListType::Map(keys) => ("map", keys),
    };
    schema["x-kubernetes-list-type"] = ty.into();
    if !keys.is_empty() {
        schema["x-kubernetes-list-map-keys"] = keys.into();
    }
}

/// Whether clients must write a field. The metadata of an object is always written and never
/// asked for.
fn is_required(table: &Table, field: &Field) -> bool {
    let metadata = match field.ty {
        Type::Message(index) => table.get(index).is_some_and(|m| m.name.starts_with("meta.v1.Obj")),
        _ => false,
    };
    field.required && !metadata
}

/// The default of a value that is no pointer.
fn zero(ty: Type) -> Option<Value> {
    match ty {
        Type::String => Some("".into()),
        Type::Bool => Some(false.into()),
        Type::Int32 | Type::Int64 | Type::Double => Some(0.into()),
        Type::Message(_) => Some(json!({})),
        _ => None,
    }
}
