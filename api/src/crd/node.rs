//! A compiled structural schema.

use std::{collections::BTreeMap, sync::Arc};

use regex::Regex;
use serde_json::Value;

use super::format::Format;

/// The compiled structural schema of one version of a CustomResourceDefinition.
#[derive(Debug)]
pub struct Schema {
    pub(super) root: Node,
    /// The `openAPIV3Schema` it was compiled from, which is what is published.
    pub(super) source: Value,
}

/// A JSON type that a schema can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum ListType {
    /// Not given: one value.
    #[default]
    Unset,
    /// One value.
    Atomic,
    /// Scalars, each once.
    Set,
    /// Objects told apart by these fields.
    Map(Vec<String>),
}

/// `additionalProperties`.
#[derive(Debug, Default)]
pub(super) enum Additional {
    /// Not given: unknown properties are pruned.
    #[default]
    Unset,
    /// `false`: unknown properties are refused.
    Forbidden,
    /// `true`: they stay, without what is in them.
    Allowed,
    /// They look like this.
    Schema(Box<Node>),
}

/// A bound of a number and whether the bound itself is out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) at: f64,
    pub(super) exclusive: bool,
}

/// What a value must fulfil besides its type.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) format: Option<Format>,
    pub(super) maximum: Option<Bound>,
    pub(super) minimum: Option<Bound>,
    pub(super) multiple_of: Option<f64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_length: Option<u64>,
    pub(super) pattern: Option<(String, Arc<Regex>)>,
    pub(super) max_items: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_properties: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) required: Vec<String>,
    pub(super) values: Vec<Value>,
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
}

/// One schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) ty: Option<Type>,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    pub(super) items: Option<Box<Node>>,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) additional: Additional,
    pub(super) preserve: bool,
    pub(super) embedded: bool,
    pub(super) int_or_string: bool,
    pub(super) list_type: ListType,
    pub(super) checks: Checks,
}

/// Fields that every object has, whatever its schema says.
pub(super) const META_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

impl Node {
    /// The schema of a property, declared or additional.
    pub(super) fn property(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        })
    }

    /// Whether `additionalProperties` says anything.
    pub(super) fn says_additional(&self) -> bool {
        !matches!(self.additional, Additional::Unset)
    }

    /// Whether this property is metadata of an object that is whole by itself.
    pub(super) fn is_meta(&self, is_root: bool, name: &str) -> bool {
        (is_root || self.embedded) && META_FIELDS.contains(&name)
    }
}
