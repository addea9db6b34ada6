//! The schema half of CustomResourceDefinitions (apiextensions-apiserver `pkg/apiserver/{schema,
//! validation}` and `pkg/apis/apiextensions/validation`): what a definition must look like, and what
//! its objects go through: [`Schema::prune`], [`Schema::apply_defaults`], [`Schema::validate`].
//! Serving, storage and the state of a definition (accepted names, conditions) are not here.
//!
//! Everything is bounded: the constants below say by what. An object that has been decoded is at
//! most [`crate::decode::MAX_DEPTH`] deep, so recursion over it is too.

mod columns;
mod compile;
mod defaulting;
mod definition;
mod embedded;
mod format;
mod jsonpath;
#[cfg(test)]
mod laws;
mod listtype;
mod node;
mod pattern;
mod prune;
mod publish;
mod rules;
#[cfg(test)]
mod rules_tests;
mod scalar;
mod topology;
mod value;
#[cfg(test)]
mod value_tests;

pub use columns::{Columns, columns};
pub use definition::{default_definition, validate_definition};
pub use node::Schema;
pub(crate) use node::{Node, Type};
pub use publish::Names;
pub(crate) use topology::Shape;

/// Deepest nesting of a schema, in schemas.
pub const SCHEMA_DEPTH_MAX: usize = 100;
/// Most schemas in one version's schema, nested ones included.
pub const SCHEMA_NODES_MAX: usize = 50_000;
/// Most different patterns in one version's schema: each is a compiled program.
pub const PATTERNS_MAX: usize = 500;
/// Most rules in CEL in one version's schema.
pub const RULES_MAX: usize = 2000;
/// Most schemas that rules see, counted once for each schema around them that has rules: their types
/// are kept for each.
pub const RULE_TYPES_MAX: usize = 500_000;
/// Largest compiled pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Most steps of one validation: a step looks at one value through one schema.
pub const VALIDATION_STEPS_MAX: usize = 2_000_000;
/// Most bytes that defaults add to one object.
pub const DEFAULTED_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Most faults found in one object.
pub const FAULTS_MAX: usize = 1000;

/// The path of the object itself, as upstream prints it.
const ROOT: &str = "<nil>";
