//! Field selectors: equality on a few fields per kind (upstream `pkg/apis/*/v1/conversion.go`).

use std::borrow::Cow;

use serde_json::Value;

use super::SelectorError;
use crate::{
    kind::{self, Kind},
    meta,
    text::quote,
};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    key: String,
    value: String,
    equal: bool,
}

/// A conjunction of equalities and inequalities; the default one matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Parses the text form of `fieldSelector=`. Whether a kind supports the keys is checked by
    /// [`FieldSelector::check`].
    ///
    /// # Errors
    /// [`SelectorError`] with upstream's text.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_unescaped(text) {
            if part.is_empty() {
                continue;
            }
            let bad =
                || SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let (at, operator) = find_operator(part).ok_or_else(bad)?;
            let value = unescape(&part[at + operator.len()..])?;
            terms.push(Term { key: part[..at].to_owned(), value, equal: operator != "!=" });
        }
        Ok(Self { terms })
    }

    /// Checks that every key is one the kind can be selected by.
    ///
    /// # Errors
    /// `field label not supported: x`, or for kinds that have only the two metadata keys
    /// `"x" is not a known field selector: …`.
    pub fn check(&self, kind: &Kind) -> Result<(), SelectorError> {
        let own = kind.selectable;
        for term in &self.terms {
            let key = term.key.as_str();
            if matches!(key, "metadata.name" | "metadata.namespace") || own.contains(&key) {
                continue;
            }
            return Err(SelectorError(if own.is_empty() && kind.custom.is_none() {
                format!(
                    "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                    quote(key)
                )
            } else {
                format!("field label not supported: {key}")
            }));
        }
        Ok(())
    }

    /// Whether an object, in the form `kind` serves, matches.
    pub fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.terms.iter().all(|t| (value_of(kind, object, &t.key) == t.value) == t.equal)
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value a key must equal, if the selector says so (`metadata.name=x`).
    pub fn exact(&self, key: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.key == key).map(|t| t.value.as_str())
    }
}

impl std::fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.key)?;
        }
        Ok(())
    }
}

/// The field as text; absent strings are empty, absent booleans `false`, absent numbers `0`.
fn value_of<'a>(kind: &Kind, object: &'a Value, key: &str) -> Cow<'a, str> {
    if key == "source" && kind == kind::EVENT {
        let component = object["source"]["component"].as_str().unwrap_or_default();
        let reporter = object["reportingComponent"].as_str().unwrap_or_default();
        return Cow::Borrowed(if component.is_empty() { reporter } else { component });
    }
    if key == "status.podIPs" {
        let ips = meta::list(&object["status"]["podIPs"]).iter().filter_map(|p| p["ip"].as_str());
        return Cow::Owned(ips.collect::<Vec<_>>().join(","));
    }
    // Upstream's name for the number of pods that succeeded.
    let key = if key == "status.successful" { "status.succeeded" } else { key };
    let mut at = object;
    for segment in key.split('.') {
        at = &at[segment];
    }
    match at {
        Value::String(s) => Cow::Borrowed(s),
        Value::Null => Cow::Borrowed(match key {
            "spec.unschedulable" | "spec.hostNetwork" => "false",
            "status.replicas" | "status.succeeded" => "0",
            _ => "",
        }),
        other => Cow::Owned(other.to_string()),
    }
}

/// Splits at commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut out, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn find_operator(part: &str) -> Option<(usize, &'static str)> {
    let mut escaped = false;
    for (i, c) in part.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        if c == '\\' {
            escaped = true;
            continue;
        }
        for operator in ["!=", "==", "="] {
            if part[i..].starts_with(operator) {
                return Some((i, operator));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence = other.map_or_else(|| "\\".to_owned(), |c| format!("\\{c}"));
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            '=' => {
                return Err(SelectorError(
                    "invalid field selector: unescaped character in value: =".to_owned(),
                ));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn matches_supported_fields() {
        let pod = json!({"metadata": {"name": "a", "namespace": "d"},
            "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        for (selector, want) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==b", false),
            ("spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed", true),
            ("spec.hostNetwork=false", true),
            ("spec.nodeName=", false),
            ("status.podIP=", true),
        ] {
            let parsed = FieldSelector::parse(selector).unwrap();
            parsed.check(kind::POD).unwrap();
            assert_eq!(parsed.matches(kind::POD, &pod), want, "{selector}");
        }
        let parsed = FieldSelector::parse("metadata.name=a\\,b").unwrap();
        assert_eq!(parsed.exact("metadata.name"), Some("a,b"));
        assert_eq!(parsed.to_string(), "metadata.name=a\\,b");
    }

    #[test]
    fn refusals() {
        for (kind, selector, want) in [
            (kind::POD, "spec.foo=1", "field label not supported: spec.foo"),
            (
                kind::CONFIG_MAP,
                "data=1",
                "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
        ] {
            let error = FieldSelector::parse(selector).unwrap().check(kind).unwrap_err();
            assert_eq!(error.0, want);
        }
        let error = FieldSelector::parse("nonsense").unwrap_err();
        assert_eq!(error.0, "invalid selector: 'nonsense'; can't understand 'nonsense'");
    }
}
