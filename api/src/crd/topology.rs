//! How the values of a schema are owned in server-side apply (kube-openapi `pkg/schemaconv`).

use serde_json::Value;

use super::node::{Additional, ListType, Node, Schema, Type};

/// What a value is to its owners.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'s> {
    /// One value.
    Leaf,
    /// Fields, owned one by one.
    Struct(&'s Node),
    /// Free keys of values that look like this, owned one by one.
    Map(&'s Node),
    /// Items that look like this, told apart by these fields.
    Keyed(&'s Node, &'s [String]),
    /// Scalars told apart by themselves.
    Set,
    /// Nothing is said: objects are owned key by key.
    Free,
    /// The metadata that every object has.
    Metadata,
}

impl Schema {
    /// The schema of the object itself.
    pub(crate) fn node(&self) -> &Node {
        &self.root
    }
}

impl Node {
    /// What values of this schema are to their owners.
    pub(crate) fn shape(&self) -> Shape<'_> {
        match self.ty {
            _ if self.int_or_string || self.atomic_map => Shape::Leaf,
            Some(Type::Object) => match &self.additional {
                _ if self.embedded || !self.properties.is_empty() => Shape::Struct(self),
                Additional::Schema(inner) => Shape::Map(inner),
                Additional::Forbidden => Shape::Struct(self),
                Additional::Unset | Additional::Allowed => Shape::Free,
            },
            Some(Type::Array) => match (&self.list_type, &self.items) {
                (ListType::Set, _) => Shape::Set,
                (ListType::Map(keys), Some(items)) => Shape::Keyed(items, keys),
                _ => Shape::Leaf,
            },
            None if self.preserve => Shape::Free,
            _ => Shape::Leaf,
        }
    }

    /// What a field is, and whether it is declared rather than let in. `None` where there is no such
    /// field.
    pub(crate) fn field(&self, is_root: bool, name: &str) -> Option<(Shape<'_>, bool)> {
        if self.is_meta(is_root, name) {
            let shape = if name == "metadata" { Shape::Metadata } else { Shape::Leaf };
            return Some((shape, true));
        }
        if let Some(property) = self.properties.get(name) {
            return Some((property.shape(), true));
        }
        match &self.additional {
            Additional::Schema(inner) => Some((inner.shape(), false)),
            Additional::Allowed => Some((Shape::Free, false)),
            _ => self.preserve.then_some((Shape::Free, false)),
        }
    }

    /// The value of a key field that an item leaves out.
    pub(crate) fn key_default(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)?.default.as_ref()
    }
}
