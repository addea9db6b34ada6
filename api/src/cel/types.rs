//! Types of expressions, and the types that schemas of custom resources declare.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value as Json;

/// A type as the checker sees it. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Anything; looked at when the expression runs.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// Signed, 64 bits.
    Int,
    /// Unsigned, 64 bits.
    Uint,
    /// Floating point, 64 bits.
    Double,
    /// Text.
    String,
    /// Octets.
    Bytes,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// A type as a value.
    Type,
    /// A list.
    List(Arc<ListType>),
    /// A map from keys to values.
    Map(Arc<(Type, Type)>),
    /// A value that may be missing.
    Optional(Arc<Type>),
    /// Named fields.
    Object(Arc<ObjectType>),
    /// A type of a library, by name.
    Opaque(&'static str),
    /// A parameter of a signature.
    Param(u8),
    /// A type still to be inferred.
    Var(usize),
}

/// A list and how its elements are told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct ListType {
    /// What it holds.
    pub element: Type,
    /// `x-kubernetes-list-type`.
    pub kind: ListKind,
}

/// `x-kubernetes-list-type` with the keys of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// Order matters.
    Atomic,
    /// Order does not matter, elements are unique.
    Set,
    /// Elements are objects, told apart by these fields.
    Map(Vec<String>),
}

/// An object's declared fields.
#[derive(Debug, Clone)]
pub struct ObjectType {
    /// As messages show it.
    pub name: String,
    /// By escaped name: the name in the object, and the type.
    pub fields: BTreeMap<String, (String, Type)>,
}

/// By name: names hold the path of the schema, and large schemas are not compared field by field.
impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Type {
    /// A list whose order matters.
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(ListType { element, kind: ListKind::Atomic }))
    }

    /// A map.
    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// An optional value.
    pub fn optional(inner: Self) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// An object with these fields.
    pub fn object(name: &str, fields: &[(&str, Self)]) -> Self {
        let fields = fields
            .iter()
            .filter_map(|(n, t)| Some((escape(n)?, ((*n).to_owned(), t.clone()))))
            .collect();
        Self::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
    }

    /// The type of values under a schema of a custom resource (`SchemaDeclType` in
    /// `k8s.io/apiserver/pkg/cel/common/schemas.go`), `None` where expressions do not see them.
    /// At the root of a resource, `apiVersion`, `kind` and the names in `metadata` are always
    /// there.
    pub fn from_schema(schema: &Json, resource_root: bool) -> Option<Self> {
        Self::declared(schema, resource_root, "object", 0)
    }

    fn declared(schema: &Json, root: bool, name: &str, depth: usize) -> Option<Self> {
        if depth > MAX_SCHEMA_DEPTH {
            return None;
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return Some(Self::Dyn);
        }
        let embedded = |s: &Json| s["x-kubernetes-embedded-resource"] == true;
        let inner = |s: &Json, name: &str| Self::declared(s, embedded(s), name, depth + 1);
        let kind = if root { "object" } else { schema["type"].as_str().unwrap_or_default() };
        Some(match kind {
            "array" => {
                let element = inner(schema.get("items")?, name)?;
                Self::List(Arc::new(ListType { element, kind: list_kind(schema) }))
            }
            "object" => {
                if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object())
                    && !root
                {
                    return Some(Self::map(Self::String, inner(values, name)?));
                }
                let mut fields = BTreeMap::new();
                for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                    if let (Some(escaped), Some(declared)) =
                        (escape(field), inner(property, &format!("{name}.{field}")))
                    {
                        fields.insert(escaped, (field.clone(), declared));
                    }
                }
                if root {
                    root_fields(&mut fields);
                }
                Self::Object(Arc::new(ObjectType { name: name.to_owned(), fields }))
            }
            "string" => match schema["format"].as_str() {
                Some("byte") => Self::Bytes,
                Some("duration") => Self::Duration,
                Some("date" | "date-time") => Self::Timestamp,
                _ => Self::String,
            },
            "boolean" => Self::Bool,
            "number" => Self::Double,
            "integer" => Self::Int,
            _ => return None,
        })
    }

    /// What a list holds, a map's values are, or anything.
    pub(super) fn element(&self) -> Self {
        match self {
            Self::List(list) => list.element.clone(),
            Self::Map(pair) => pair.1.clone(),
            _ => Self::Dyn,
        }
    }
}

/// Deepest schema that is looked at.
const MAX_SCHEMA_DEPTH: usize = 128;

fn list_kind(schema: &Json) -> ListKind {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
            ListKind::Map(keys.filter_map(|k| k.as_str().map(str::to_owned)).collect())
        }
        _ => ListKind::Atomic,
    }
}

fn root_fields(fields: &mut BTreeMap<String, (String, Type)>) {
    let names = &[("name", Type::String), ("generateName", Type::String)];
    let metadata = Type::object("object.metadata", names);
    for (name, declared) in
        [("apiVersion", Type::String), ("kind", Type::String), ("metadata", metadata)]
    {
        fields.insert(name.to_owned(), (name.to_owned(), declared));
    }
}

/// Words of the language, which a field is escaped from.
const KEYWORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as expressions write it: `__dash__` for `-` and so on
/// (`k8s.io/apiserver/pkg/cel/escaping.go`). `None` where it cannot be written.
pub fn escape(name: &str) -> Option<String> {
    if KEYWORDS.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let first = name.chars().next()?;
    if !(first.is_ascii_alphabetic() || matches!(first, '_' | '.' | '-' | '/')) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (text, used) = match c {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            c if c.is_ascii_alphanumeric() || c == '_' => (&rest[..1], 1),
            _ => return None,
        };
        out.push_str(text);
        rest = &rest[used..];
    }
    Some(out)
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Dyn | Self::Var(_) | Self::Param(_) => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Type => "type",
            Self::List(list) => return write!(f, "list({})", list.element),
            Self::Map(pair) => return write!(f, "map({}, {})", pair.0, pair.1),
            Self::Optional(inner) => return write!(f, "optional_type({inner})"),
            Self::Object(object) => &object.name,
            Self::Opaque(name) => name,
        };
        f.write_str(name)
    }
}
