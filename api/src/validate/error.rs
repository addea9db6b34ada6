//! One validation failure of one field, worded as upstream's `field.Error`.

use serde_json::Value;

use crate::text;

/// Why a field was refused; the text forms are upstream's `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The referenced thing is not in the object.
    NotFound,
    /// A needed field is missing or empty.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// The value is malformed or out of range.
    Invalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The field must not be set in this context.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The value has another JSON type than declared.
    TypeInvalid,
    /// The server could not check the value.
    Internal,
}

impl Reason {
    /// The machine-readable form in `details.causes[].reason`.
    pub fn cause(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One refused field: where, why, and what to change.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Path such as `spec.containers[0].image`.
    pub path: String,
    /// The class of failure.
    pub reason: Reason,
    /// What to change; may be empty.
    pub detail: String,
    /// The refused value; not shown for some reasons.
    pub value: Value,
}

impl FieldError {
    /// Builds an error; prefer the named constructors.
    pub fn new(
        path: impl Into<String>,
        reason: Reason,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), reason, detail: detail.into(), value: value.into() }
    }

    /// `path: Required value[: detail]`.
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(path, Reason::Required, Value::Null, detail)
    }

    /// `path: Invalid value: value: detail`.
    pub fn invalid(
        path: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(path, Reason::Invalid, value, detail)
    }

    /// `path: Unsupported value: value: supported values: "a", "b"`.
    pub fn not_supported(
        path: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let detail = format!("supported values: {}", text::quoted_list(supported));
        Self::new(path, Reason::NotSupported, value, detail)
    }

    /// `path: Duplicate value: value`.
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(path, Reason::Duplicate, value, "")
    }

    /// `path: Not found: value`.
    pub fn not_found(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(path, Reason::NotFound, value, "")
    }

    /// `path: Forbidden: detail`.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(path, Reason::Forbidden, Value::Null, detail)
    }

    /// `path: Too long: may not be more than N bytes`.
    pub fn too_long(path: impl Into<String>, max_bytes: usize) -> Self {
        let detail = format!("may not be more than {max_bytes} bytes");
        Self::new(path, Reason::TooLong, Value::Null, detail)
    }

    /// `path: Too many: count: must have at most N items`.
    pub fn too_many(path: impl Into<String>, count: usize, max_items: usize) -> Self {
        let detail = format!("must have at most {max_items} items");
        Self::new(path, Reason::TooMany, count, detail)
    }

    /// The text without the path, as in `details.causes[].message`.
    pub fn body(&self) -> String {
        let mut out = self.reason.words().to_owned();
        if self.reason.shows_value() {
            out.push_str(": ");
            out.push_str(&text::bad_value(&self.value));
        }
        if !self.detail.is_empty() {
            out.push_str(": ");
            out.push_str(&self.detail);
        }
        out
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_upstreams() {
        for (error, want) in [
            (FieldError::required("a", ""), "a: Required value"),
            (FieldError::required("a", "why"), "a: Required value: why"),
            (FieldError::invalid("a.b", "x", "bad"), "a.b: Invalid value: \"x\": bad"),
            (FieldError::invalid("a.b", 3, "bad"), "a.b: Invalid value: 3: bad"),
            (
                FieldError::not_supported("p", "Foo", &["A", "B"]),
                "p: Unsupported value: \"Foo\": supported values: \"A\", \"B\"",
            ),
            (FieldError::duplicate("p", "x"), "p: Duplicate value: \"x\""),
            (FieldError::forbidden("p", "no"), "p: Forbidden: no"),
            (FieldError::too_long("p", 63), "p: Too long: may not be more than 63 bytes"),
            (FieldError::too_many("p", 5, 3), "p: Too many: 5: must have at most 3 items"),
            (FieldError::not_found("p", "v"), "p: Not found: \"v\""),
        ] {
            assert_eq!(error.to_string(), want);
        }
    }
}
