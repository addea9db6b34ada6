//! Label selectors (text and object form) and field selectors.

mod field;
mod label;
mod lexer;

pub use field::FieldSelector;
pub use label::{LabelSelector, Operator, Requirement};

/// Why a selector cannot be used; the text is upstream's and belongs into a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl From<SelectorError> for crate::status::Status {
    fn from(error: SelectorError) -> Self {
        Self::bad_request(error.0)
    }
}
