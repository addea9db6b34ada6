//! The object model of the Kubernetes API: kinds as a table, decoding, defaulting, validation,
//! patches, selectors, quantities and printer columns. No I/O, no clock, no actor.
//!
//! An object from outside goes through these in order: [`decode::decode`] (limits, duplicate keys),
//! [`schema::check_types`], [`schema::unknown_fields`] (for strict validation), [`schema::prune`]
//! (canonical form), [`defaults::apply`], [`validate::create`] or [`validate::update`]. Only
//! `check_types` guards the later steps against wrong JSON types; they do not panic without it.

pub mod cel;
pub mod crd;
pub mod decode;
pub mod defaults;
#[doc(hidden)]
pub mod fuzzing;
pub mod kind;
pub mod meta;
pub mod name;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
mod text;
pub mod validate;
