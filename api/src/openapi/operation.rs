//! Operations and path items, as both editions of the document show them.

use serde_json::Value;

use super::parameter::Parameter;

/// What can be done at one path.
#[derive(Debug)]
pub(super) struct PathItem {
    pub(super) path: String,
    pub(super) operations: Vec<Operation>,
    /// Of every operation.
    pub(super) parameters: Vec<Parameter>,
}

/// What an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A definition.
    Definition(String),
    /// Text.
    Text,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// `get`, `put`, `post`, `delete`, `patch`, `head` or `options`.
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) tag: String,
    /// `x-kubernetes-action`; empty for documents.
    pub(super) action: &'static str,
    /// `x-kubernetes-group-version-kind`.
    pub(super) gvk: Option<Value>,
    pub(super) parameters: Vec<Parameter>,
    /// Definition of the body, and whether there must be one.
    pub(super) body: Option<(String, bool)>,
    /// Media types of the body.
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    /// Code and content of good answers.
    pub(super) answers: Vec<(u16, Answer)>,
}

/// Any body.
pub(super) const ANY: &[&str] = &["*/*"];
/// Bodies of patches.
pub(super) const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Bodies of patches of custom resources. Clients look here whether there are strategic ones.
pub(super) const CUSTOM_PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
/// Answers with objects.
pub(super) const OBJECTS: &[&str] = &["application/json", "application/yaml"];
/// Answers of lists and watches.
pub(super) const STREAMS: &[&str] =
    &["application/json", "application/yaml", "application/json;stream=watch"];
/// Answers with text.
pub(super) const TEXT: &[&str] = &["text/plain", "application/json", "application/yaml"];

/// What the code of an answer means.
pub(super) fn reason(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        401 => "Unauthorized",
        _ => "OK",
    }
}

impl PathItem {
    /// The definitions this refers to.
    pub(super) fn definitions(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().flat_map(|operation| {
            let answers = operation.answers.iter().filter_map(|(_, answer)| match answer {
                Answer::Definition(name) => Some(name.as_str()),
                Answer::Text => None,
            });
            answers.chain(operation.body.iter().map(|(name, _)| name.as_str()))
        })
    }
}
