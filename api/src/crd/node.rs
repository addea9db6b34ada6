//! A compiled structural schema.

use std::{collections::BTreeMap, sync::Arc};

use regex::Regex;
use serde_json::Value;

use super::{format::Format, rules::Rules};

/// The compiled structural schema of one version of a CustomResourceDefinition.
#[derive(Debug)]
pub struct Schema {
    pub(super) root: Node,
    /// The `openAPIV3Schema` it was compiled from, which is what is published.
    pub(super) source: Value,
}

/// A JSON type that a schema can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(crate) fn named(name: &str) -> Option<Self> {
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

    pub(crate) fn name(self) -> &'static str {
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
pub(crate) enum ListType {
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
pub(crate) enum Additional {
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
pub(crate) struct Bound {
    pub(crate) at: f64,
    pub(crate) exclusive: bool,
}

/// What a value must fulfil besides its type.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) format: Option<Format>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) pattern: Option<(String, Arc<Regex>)>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) required: Vec<String>,
    pub(crate) values: Vec<Value>,
    pub(crate) all_of: Vec<Node>,
    pub(crate) any_of: Vec<Node>,
    pub(crate) one_of: Vec<Node>,
    pub(crate) not: Option<Box<Node>>,
}

/// One schema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) ty: Option<Type>,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) properties: BTreeMap<String, Node>,
    pub(crate) additional: Additional,
    pub(crate) preserve: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) list_type: ListType,
    /// `x-kubernetes-map-type: atomic`.
    pub(crate) atomic_map: bool,
    pub(crate) checks: Checks,
    /// `x-kubernetes-validations`.
    pub(crate) rules: Option<Box<Rules>>,
    /// Whether this schema or one declared below it has rules.
    pub(crate) has_rules: bool,
}

/// Fields that every object has, whatever its schema says.
pub(crate) const META_FIELDS: &[&str] = &["apiVersion", "kind", "metadata"];

impl Node {
    /// The schema of a property, declared or additional.
    pub(crate) fn property(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(node) => Some(node),
            _ => None,
        })
    }

    /// Whether `additionalProperties` says anything.
    pub(crate) fn says_additional(&self) -> bool {
        !matches!(self.additional, Additional::Unset)
    }

    /// Whether this property is metadata of an object that is whole by itself.
    pub(crate) fn is_meta(&self, is_root: bool, name: &str) -> bool {
        (is_root || self.embedded) && META_FIELDS.contains(&name)
    }
}
