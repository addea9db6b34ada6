//! Kubernetes' semantic version library.

use std::{cmp::Ordering, sync::Arc};

use super::{Row, f, given, m, text};
use crate::cel::{
    error::{EvalError, failed},
    opaque::Opaque,
    value::Value,
};

/// Longest text that is read, bytes.
const MAX_TEXT: usize = 256;

/// A semantic version; what follows a `+` does not count when comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// A part of a pre-release: numbers come before texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

const V: &str = "kubernetes.Semver";
const TWO: &str = "kubernetes.Semver,kubernetes.Semver";

pub(super) const ROWS: &[Row] = &[
    f("semver", "string", V, |_, a| make(text(a, 0)?, false)),
    f("semver", "string,bool", V, |_, a| {
        given!(a, _, Value::Bool(normalise));
        make(text(a, 0)?, *normalise)
    }),
    f("isSemver", "string", "bool", |_, a| Ok(Value::Bool(parse(text(a, 0)?, false).is_some()))),
    f("isSemver", "string,bool", "bool", |_, a| {
        given!(a, _, Value::Bool(normalise));
        Ok(Value::Bool(parse(text(a, 0)?, *normalise).is_some()))
    }),
    m("major", V, "int", |_, a| number(a, 0)),
    m("minor", V, "int", |_, a| number(a, 1)),
    m("patch", V, "int", |_, a| number(a, 2)),
    m("isGreaterThan", TWO, "bool", |_, a| Ok(Value::Bool(compare(a)?.is_gt()))),
    m("isLessThan", TWO, "bool", |_, a| Ok(Value::Bool(compare(a)?.is_lt()))),
    m("compareTo", TWO, "int", |_, a| Ok(Value::Int(compare(a)? as i64))),
];

fn make<'a>(text: &str, normalise: bool) -> Result<Value<'a>, EvalError> {
    match parse(text, normalise) {
        Some(version) => Ok(Value::Opaque(Opaque::Semver(Arc::new(version)))),
        None => failed("No Major.Minor.Patch elements found"),
    }
}

fn number<'a>(args: &[Value<'a>], index: usize) -> Result<Value<'a>, EvalError> {
    given!(args, Value::Opaque(Opaque::Semver(v)));
    Ok(Value::Int(i64::try_from(v.numbers[index]).unwrap_or(i64::MAX)))
}

fn compare(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    given!(args, Value::Opaque(Opaque::Semver(a)), Value::Opaque(Opaque::Semver(b)));
    let numbers = a.numbers.cmp(&b.numbers);
    // A version comes after its own pre-releases.
    Ok(numbers.then_with(|| match (a.before.is_empty(), b.before.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.before.cmp(&b.before),
    }))
}

fn parse(text: &str, normalise: bool) -> Option<Version> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let text = if normalise { text.trim().trim_start_matches('v') } else { text };
    let (text, build) = text.split_once('+').map_or((text, None), |(t, b)| (t, Some(b)));
    if build.is_some_and(|b| b.split('.').any(|p| identifier(p).is_none())) {
        return None;
    }
    let (core, before) = text.split_once('-').map_or((text, None), |(c, p)| (c, Some(p)));
    let mut parts: Vec<String> = core.split('.').map(str::to_owned).collect();
    if normalise {
        while parts.len() < 3 {
            parts.push("0".into());
        }
        for part in &mut parts {
            let bare = part.trim_start_matches('0');
            *part = if bare.is_empty() && !part.is_empty() { "0".into() } else { bare.into() };
        }
    }
    let [major, minor, patch] = parts.as_slice() else { return None };
    let numbers = [plain(major)?, plain(minor)?, plain(patch)?];
    let mut list = Vec::new();
    for part in before.into_iter().flat_map(|p| p.split('.')) {
        let name = identifier(part)?;
        let digits = name.bytes().all(|b| b.is_ascii_digit());
        list.push(if digits { Part::Number(plain(name)?) } else { Part::Text(name.into()) });
    }
    Some(Version { numbers, before: list })
}

fn identifier(text: &str) -> Option<&str> {
    let fine = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (fine && !text.is_empty()).then_some(text)
}

fn plain(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}
