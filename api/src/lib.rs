//! The object model of the Kubernetes API: kinds as a table, decoding, defaulting, validation,
//! patches, selectors, quantities and printer columns. No I/O, no clock, no actor.

pub mod decode;
pub mod defaults;
pub mod kind;
pub mod meta;
pub mod name;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
mod text;
pub mod validate;
