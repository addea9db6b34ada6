//! Label selectors.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::{
    SelectorError,
    lexer::{Token, tokens},
};
use crate::{name, text::quote};

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `k=v`.
    Equals,
    /// `k!=v`.
    NotEquals,
    /// `k in (…)`.
    In,
    /// `k notin (…)`.
    NotIn,
    /// `k`.
    Exists,
    /// `!k`.
    DoesNotExist,
    /// `k>n`.
    Greater,
    /// `k<n`.
    Less,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// Values; empty for the existence operators.
    pub values: BTreeSet<String>,
}

impl Requirement {
    /// Whether a label with this value (`None`: absent) meets the condition.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|v| self.values.contains(v));
        match self.operator {
            Operator::Equals | Operator::In => listed(),
            Operator::NotEquals | Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Greater | Operator::Less => {
                let number = |s: &str| s.parse::<i64>().ok();
                let bound = self.values.first().and_then(|v| number(v));
                match (value.and_then(number), bound) {
                    (Some(v), Some(b)) if self.operator == Operator::Greater => v > b,
                    (Some(v), Some(b)) => v < b,
                    _ => false,
                }
            }
        }
    }
}

/// A conjunction of requirements; the default one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches no object.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Parses the text form of `labelSelector=`.
    ///
    /// # Errors
    /// [`SelectorError`] with upstream's text.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = parser
            .selector()
            .map_err(|m| SelectorError(format!("unable to parse requirement: {m}")))?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads the object form `{matchLabels, matchExpressions}`. `null` matches nothing, `{}`
    /// everything.
    ///
    /// # Errors
    /// [`SelectorError`] for unknown operators and bad keys or values.
    pub fn from_object(object: &Value) -> Result<Self, SelectorError> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(requirement(key.clone(), Operator::Equals, vec![value])?);
        }
        for expression in crate::meta::list(&object["matchExpressions"]) {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let message =
                        format!("{} is not a valid label selector operator", quote(other));
                    return Err(SelectorError(message));
                }
            };
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values = crate::meta::list(&expression["values"])
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            requirements.push(requirement(key, operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map of labels (Service selectors). `null` and `{}` match nothing: a Service
    /// without selector has no endpoints of its own.
    pub fn from_map(map: &Value) -> Self {
        let requirements: Vec<_> = map
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]),
            })
            .collect();
        let nothing = requirements.is_empty();
        Self { requirements, nothing }
    }

    /// Whether these labels (`metadata.labels`, or null) match.
    pub fn matches(&self, labels: &Value) -> bool {
        self.matches_by(|key| labels.get(key).and_then(Value::as_str))
    }

    /// Whether the labels found by `get` match.
    pub fn matches_by<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.accepts(get(&r.key)))
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            let values = r.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            match r.operator {
                Operator::Equals => write!(f, "{}={values}", r.key)?,
                Operator::NotEquals => write!(f, "{}!={values}", r.key)?,
                Operator::In => write!(f, "{} in ({values})", r.key)?,
                Operator::NotIn => write!(f, "{} notin ({values})", r.key)?,
                Operator::Exists => write!(f, "{}", r.key)?,
                Operator::DoesNotExist => write!(f, "!{}", r.key)?,
                Operator::Greater => write!(f, "{}>{values}", r.key)?,
                Operator::Less => write!(f, "{}<{values}", r.key)?,
            }
        }
        Ok(())
    }
}

/// Builds a requirement, checked as upstream's `labels.NewRequirement` does.
fn requirement(
    key: String,
    operator: Operator,
    values: Vec<String>,
) -> Result<Requirement, SelectorError> {
    let mut errors = Vec::new();
    for message in name::qualified_name(&key) {
        errors.push(format!("key: Invalid value: {}: {message}", quote(&key)));
    }
    let shown = || format!("[{}]", values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(","));
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => errors.push(format!(
            "values: Invalid value: {}: for 'in', 'notin' operators, values set can't be empty",
            shown()
        )),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => errors.push(format!(
            "values: Invalid value: {}: values set must be empty for exists and does not exist",
            shown()
        )),
        Operator::Greater | Operator::Less if !matches!(values.as_slice(), [v] if v.parse::<i64>().is_ok()) =>
        {
            errors.push(format!(
                "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                quote(values.first().map_or("", String::as_str))
            ));
        }
        _ => {}
    }
    for (i, value) in values.iter().enumerate() {
        for message in name::label_value(value) {
            errors.push(format!("values[{i}][{key}]: Invalid value: {}: {message}", quote(value)));
        }
    }
    match errors.as_slice() {
        [] => Ok(Requirement { key, operator, values: values.into_iter().collect() }),
        [one] => Err(SelectorError(one.clone())),
        many => Err(SelectorError(format!("[{}]", many.join(", ")))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Keywords are plain words where a value is expected.
    fn next_word(&mut self) -> Result<String, Token> {
        match self.next() {
            Token::Identifier(s) => Ok(s),
            Token::In => Ok("in".to_owned()),
            Token::NotIn => Ok("notin".to_owned()),
            other => Err(other),
        }
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(out),
                Token::Identifier(_) | Token::Not | Token::In | Token::NotIn => {
                    out.push(self.requirement()?);
                }
                other => {
                    let found = other.literal();
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match self.next() {
                Token::End => return Ok(out),
                Token::Comma => {
                    if !matches!(
                        self.peek(),
                        Token::Identifier(_) | Token::Not | Token::In | Token::NotIn
                    ) {
                        let found = self.peek().literal();
                        return Err(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                other => {
                    let found = other.literal();
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = *self.peek() == Token::Not;
        if negated {
            self.at += 1;
        }
        let key = self
            .next_word()
            .map_err(|t| format!("found '{}', expected: identifier", t.literal()))?;
        let build = |operator, values| requirement(key.clone(), operator, values).map_err(|e| e.0);
        if negated {
            return build(Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return build(Operator::Exists, Vec::new());
        }
        let operator = match self.next() {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals | Token::DoubleEquals => Operator::Equals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::Greater,
            Token::Less => Operator::Less,
            other => {
                let found = other.literal();
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        build(operator, values)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        self.next_word().map_err(|t| format!("found '{}', expected: identifier", t.literal()))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Open {
            return Err(format!("found '{}' expected: '('", open.literal()));
        }
        let mut out = Vec::new();
        loop {
            if matches!(self.peek(), Token::Comma | Token::Close) {
                out.push(String::new());
            } else {
                out.push(self.next_word().map_err(|t| {
                    format!("found '{}', expected: ',', ')' or identifier", t.literal())
                })?);
            }
            match self.next() {
                Token::Comma => {}
                Token::Close => return Ok(out),
                other => return Err(format!("found '{}', expected: ',' or ')'", other.literal())),
            }
        }
    }
}

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
