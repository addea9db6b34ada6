//! Validation of objects on create and update, with upstream's paths, reasons and texts.

mod error;

pub use error::{FieldError, Reason};
use serde_json::Value;

use crate::kind::Kind;

/// Everything wrong with a new object (defaults applied).
pub fn create(_kind: &Kind, _object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Everything wrong with a changed object, given the stored one.
pub fn update(_kind: &Kind, _new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
