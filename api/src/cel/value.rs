//! Values while an expression runs. Objects are borrowed, not copied: a field becomes a value when
//! it is looked at.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value as Json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    duration,
    opaque::Opaque,
    types::{ListType, Type},
};

/// A value; `'a` is the life of the objects that are looked at.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// Signed.
    Int(i64),
    /// Unsigned.
    Uint(u64),
    /// Floating point.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Octets.
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// A moment, years 1 to 9999.
    Timestamp(OffsetDateTime),
    /// A type, by its name.
    Type(Text<'a>),
    /// A list.
    List(List<'a>),
    /// A map or an object.
    Map(Map<'a>),
    /// A value that may be missing.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of a library.
    Opaque(Opaque),
}

/// Text, of an object or made by the expression.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Part of an object.
    Borrowed(&'a str),
    /// Made.
    Shared(Arc<str>),
}

/// A list, of an object or made by the expression.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Part of an object, with what is declared of it.
    Json(&'a [Json], Type),
    /// Made.
    Owned(Arc<Vec<Value<'a>>>),
}

/// A map, of an object or made by the expression.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Part of an object, with what is declared of it.
    Json(&'a serde_json::Map<String, Json>, Type),
    /// Made; the name is a typed literal's, such as `Object.spec`.
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>, Option<Arc<str>>),
}

/// A key of a map. Whole numbers are one kind of key, as they are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// `false` or `true`.
    Bool(bool),
    /// A number.
    Int(i128),
    /// Text.
    String(Text<'a>),
}

impl Text<'_> {
    /// As a slice.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(s) => s,
            Self::Shared(s) => s,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<'a> List<'a> {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items, _) => items.len(),
            Self::Owned(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One element.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items, declared) => {
                Some(Value::from_json(items.get(index)?, &declared.element()))
            }
            Self::Owned(items) => items.get(index).cloned(),
        }
    }

    /// All elements, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// What is declared, of a list of an object.
    pub(super) fn declared(&self) -> Option<&ListType> {
        match self {
            Self::Json(_, Type::List(list)) => Some(list),
            _ => None,
        }
    }
}

impl<'a> Map<'a> {
    /// How many entries.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map, _) => map.len(),
            Self::Owned(map, _) => map.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key; fields of declared objects go by their escaped names.
    pub fn get(&self, key: &Key<'_>) -> Option<Value<'a>> {
        match self {
            Self::Json(map, declared) => {
                let Key::String(name) = key else { return None };
                if let Type::Object(object) = declared {
                    let (name, declared) = object.fields.get(name.as_str())?;
                    return Some(Value::from_json(map.get(name)?, declared));
                }
                Some(Value::from_json(map.get(name.as_str())?, &declared.element()))
            }
            // The key's life is not the map's: compared, not borrowed.
            Self::Owned(map, _) => match key {
                Key::String(text) => {
                    map.get(&Key::String(Text::from(text.as_str().to_owned()))).cloned()
                }
                Key::Int(v) => map.get(&Key::Int(*v)).cloned(),
                Key::Bool(v) => map.get(&Key::Bool(*v)).cloned(),
            },
        }
    }

    /// The value of a field, by its escaped name.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(map, Type::Object(object)) => {
                let (name, declared) = object.fields.get(name)?;
                Some(Value::from_json(map.get(name)?, declared))
            }
            Self::Json(map, declared) => {
                Some(Value::from_json(map.get(name)?, &declared.element()))
            }
            Self::Owned(..) => self.get(&Key::String(Text::from(name.to_owned()))),
        }
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<Key<'a>> {
        match self {
            Self::Json(map, Type::Object(object)) => object
                .fields
                .iter()
                .filter(|(_, (name, _))| map.contains_key(name))
                .map(|(escaped, _)| Key::String(Text::from(escaped.clone())))
                .collect(),
            Self::Json(map, _) => {
                map.keys().map(|k| Key::String(Text::Borrowed(k.as_str()))).collect()
            }
            Self::Owned(map, _) => map.keys().cloned().collect(),
        }
    }
}

impl<'a> Key<'a> {
    /// A value as a key; doubles only where they are whole.
    pub fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(v) => Self::Bool(*v),
            Value::Int(v) => Self::Int(i128::from(*v)),
            Value::Uint(v) => Self::Int(i128::from(*v)),
            Value::Double(v) if v.fract() == 0.0 && v.abs() < 1e19 => Self::Int(*v as i128),
            Value::String(v) => Self::String(v.clone()),
            _ => return None,
        })
    }

    /// A key as a value.
    pub fn into_value(self) -> Value<'a> {
        match self {
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => i64::try_from(v)
                .map_or_else(|_| Value::Uint(u64::try_from(v).unwrap_or(u64::MAX)), Value::Int),
            Self::String(v) => Value::String(v),
        }
    }
}

impl<'a> Value<'a> {
    /// Text made by the expression.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(Text::from(text.into()))
    }

    /// A list made by the expression.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Owned(Arc::new(items)))
    }

    /// A value that is there.
    pub fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// Part of an object, read as what is declared of it.
    pub fn from_json(json: &'a Json, declared: &Type) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(v) => Self::Bool(*v),
            Json::Number(n) => match n.as_i64() {
                Some(v) if *declared != Type::Double => Self::Int(v),
                _ => Self::Double(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => Self::from_text(s, declared),
            Json::Array(items) => Self::List(List::Json(items, declared.clone())),
            Json::Object(map) => Self::Map(Map::Json(map, declared.clone())),
        }
    }

    fn from_text(text: &'a str, declared: &Type) -> Self {
        let special = match declared {
            Type::Bytes => BASE64_STANDARD.decode(text).ok().map(|b| Self::Bytes(b.into())),
            Type::Duration => duration::parse(text).map(Self::Duration),
            Type::Timestamp => timestamp(text).map(Self::Timestamp),
            _ => None,
        };
        special.unwrap_or(Self::String(Text::Borrowed(text)))
    }

    /// The name of the value's type, as `type(x)` gives it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::List(_) => "list",
            Self::Map(Map::Json(_, Type::Object(object))) => &object.name,
            Self::Map(Map::Owned(_, Some(name))) => name,
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Opaque(opaque) => opaque.type_name(),
        }
    }
}

/// A moment as RFC 3339 writes it, or a date.
pub(super) fn timestamp(text: &str) -> Option<OffsetDateTime> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment = OffsetDateTime::parse(&full, &Rfc3339).ok()?;
    (1..=9999)
        .contains(&moment.to_offset(time::UtcOffset::UTC).year())
        .then(|| moment.to_offset(time::UtcOffset::UTC))
}
