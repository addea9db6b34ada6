//! OpenAPI documents, made from the kind table and the field table: version 3 by group version,
//! version 2 in one piece, as JSON and as protobuf.
//!
//! Nothing is kept here: a document is written piece by piece into what the caller gives, so that
//! it never exists as a tree. Caching is the caller's. Descriptions are the caller's too.

mod definition;
mod document;
mod names;
mod operation;
mod parameter;
mod paths;
mod protobuf;
mod render;
mod subpaths;

pub use document::{documents, write_v2, write_v3};
pub use protobuf::v2 as v2_protobuf;

/// Describes a definition (`io.k8s.api.core.v1.Pod`), or one of its fields; an empty field name is
/// the definition itself. Empty when there is nothing to say.
pub type Describe = fn(definition: &str, field: &str) -> &'static str;

/// Which edition of OpenAPI a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    V2,
    V3,
}

impl Edition {
    /// A reference to a definition.
    fn reference(self, definition: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{definition}"),
            Self::V3 => format!("#/components/schemas/{definition}"),
        }
    }
}

#[cfg(test)]
mod tests;
