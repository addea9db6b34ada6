//! What goes wrong with an expression: when it is compiled, with the place and the excerpt that
//! cel-go prints, and when it is evaluated.

/// One finding in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issue {
    /// Code points from the start.
    pub at: usize,
    pub message: String,
}

impl Issue {
    pub(super) fn syntax(at: usize, message: String) -> Self {
        Self { at, message: format!("Syntax error: {message}") }
    }

    pub(super) fn check(at: usize, message: String) -> Self {
        Self { at, message }
    }
}

/// Why an expression was not compiled. The text is upstream's
/// (`k8s.io/apiserver/pkg/admission/plugin/cel/compile.go`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It does not parse, or its types do not fit. Holds the findings with their excerpts.
    #[error("compilation failed: {0}")]
    Issues(String),
    /// It is of another type than the place needs.
    #[error("{0}")]
    ResultType(String),
}

impl CompileError {
    pub(super) fn from_issues(source: &[char], issues: &[Issue]) -> Self {
        let texts: Vec<String> = issues.iter().map(|issue| excerpt(source, issue)).collect();
        Self::Issues(texts.join("\n"))
    }
}

/// `ERROR: <input>:1:6: message`, the line, and a mark under the place.
fn excerpt(source: &[char], issue: &Issue) -> String {
    let at = issue.at.min(source.len());
    let line = source[..at].iter().filter(|c| **c == '\n').count() + 1;
    let start = source[..at].iter().rposition(|c| *c == '\n').map_or(0, |p| p + 1);
    let length = source[start..].iter().position(|c| *c == '\n').unwrap_or(source.len() - start);
    let text: String =
        source[start..start + length].iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    let column = at - start;
    let dots = ".".repeat(column);
    format!("ERROR: <input>:{line}:{}: {}\n | {text}\n | {dots}^", column + 1, issue.message)
}

/// Why an evaluation gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression failed on these values; the text is cel-go's.
    #[error("{0}")]
    Failed(String),
    /// One evaluation cost more than [`super::PER_CALL_LIMIT`].
    #[error("operation cancelled: actual cost limit exceeded")]
    CallLimit,
    /// What the caller granted to all its evaluations is used up.
    #[error(
        "validation failed due to running out of cost budget, no further validation rules will be run"
    )]
    Exhausted,
}

impl EvalError {
    /// Whether a limit ended the evaluation; `||` and `&&` do not absorb that.
    pub fn is_limit(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }

    pub(super) fn no_overload() -> Self {
        Self::Failed("no such overload".into())
    }

    pub(super) fn no_key(key: &str) -> Self {
        Self::Failed(format!("no such key: {key}"))
    }
}

/// A failure with a text.
pub(super) fn failed<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Failed(message.into()))
}
