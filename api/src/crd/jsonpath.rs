//! JSONPath as printer columns use it (client-go `util/jsonpath`): fields, indices, slices,
//! wildcards, unions, filters and descent. What a path finds nowhere is not an error here.

use serde_json::Value;
use thiserror::Error;

/// Most values one step of a path finds.
const FOUND_MAX: usize = 1000;
/// Most values one evaluation looks at.
const STEPS_MAX: usize = 100_000;
/// Most steps of one path.
const PATH_STEPS_MAX: usize = 64;

/// Why a path does not parse.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum PathError {
    /// A bracket or a quote is not closed.
    #[error("unterminated array")]
    Unterminated,
    /// What stands between brackets is none of an index, a slice, a name, a filter or a star.
    #[error("invalid array index {0}")]
    Index(String),
    /// A filter without its parts.
    #[error("unterminated filter")]
    Filter,
    /// A character where a step must begin.
    #[error("unrecognized character in action: {0}")]
    Character(String),
    /// More steps than are looked at.
    #[error("path has more than {PATH_STEPS_MAX} steps")]
    Length,
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Any,
    Descend,
    Slice { from: Option<i64>, to: Option<i64>, by: i64 },
    Union(Vec<Step>),
    Filter { left: Operand, test: Option<(Test, Operand)> },
}

#[derive(Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A path that parses.
#[derive(Debug, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        rest = rest.strip_prefix(['@', '$']).unwrap_or(rest);
        while let Some(c) = rest.chars().next() {
            if steps.len() >= PATH_STEPS_MAX {
                return Err(PathError::Length);
            }
            match c {
                '.' if rest.starts_with("..") => {
                    steps.push(Step::Descend);
                    rest = &rest[1..];
                    if rest[1..].starts_with('[') || rest.len() == 1 {
                        rest = &rest[1..];
                    }
                }
                '.' => {
                    let (name, left) = field(&rest[1..]);
                    match name.as_str() {
                        "" => {}
                        "*" => steps.push(Step::Any),
                        _ => steps.push(Step::Field(name)),
                    }
                    rest = left;
                }
                '[' => {
                    let end = closing(rest).ok_or(PathError::Unterminated)?;
                    steps.push(bracket(&rest[1..end])?);
                    rest = &rest[end + 1..];
                }
                _ if steps.is_empty() && (c.is_alphanumeric() || c == '_') => {
                    let (name, left) = field(rest);
                    steps.push(Step::Field(name));
                    rest = left;
                }
                c => return Err(PathError::Character(format!("U+{:04X} '{c}'", u32::from(c)))),
            }
        }
        Ok(Self(steps))
    }

    /// What the path finds, at most [`FOUND_MAX`] values.
    pub(super) fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut left = STEPS_MAX;
        self.find_within(root, &mut left)
    }

    fn find_within<'v>(&self, root: &'v Value, left: &mut usize) -> Vec<&'v Value> {
        let mut found = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                if *left == 0 || next.len() >= FOUND_MAX {
                    break;
                }
                *left -= 1;
                step.follow(value, &mut next, left);
            }
            next.truncate(FOUND_MAX);
            found = next;
        }
        found
    }
}

/// A name up to the next step; a backslash takes the meaning of what follows.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' | ' ' | '\t' => return (name, &text[at..]),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket that the text begins with is closed; quotes and inner brackets are skipped.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Result<Step, PathError> {
    let inside = inside.trim();
    if inside == "*" {
        return Ok(Step::Any);
    }
    if let Some(filter) = inside.strip_prefix("?(") {
        return filter_of(filter.strip_suffix(')').ok_or(PathError::Filter)?);
    }
    let parts = split(inside, ',');
    let mut steps = parts.iter().map(|part| part_of(part.trim())).collect::<Result<Vec<_>, _>>()?;
    match steps.len() {
        1 => steps.pop().ok_or(PathError::Unterminated),
        2..=PATH_STEPS_MAX => Ok(Step::Union(steps)),
        _ => Err(PathError::Length),
    }
}

fn part_of(text: &str) -> Result<Step, PathError> {
    if let Some(name) = unquoted(text) {
        return Ok(Step::Field(name.to_owned()));
    }
    let bad = || PathError::Index(text.to_owned());
    let number = |part: &str| match part {
        "" => Ok(None),
        digits => digits.parse::<i64>().map(Some).map_err(|_| bad()),
    };
    match text.split(':').map(str::trim).collect::<Vec<_>>().as_slice() {
        [""] => Err(bad()),
        [one] => {
            let at = number(one)?.ok_or_else(bad)?;
            // The last one has no end to give: -1 plus one would be the first.
            Ok(Step::Slice { from: Some(at), to: at.checked_add(1).filter(|end| *end != 0), by: 1 })
        }
        [from, to] => Ok(Step::Slice { from: number(from)?, to: number(to)?, by: 1 }),
        [from, to, by] => {
            let by = number(by)?.unwrap_or(1);
            Ok(Step::Slice { from: number(from)?, to: number(to)?, by })
        }
        _ => Err(bad()),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|q| text.strip_prefix(q)?.strip_suffix(q))
}

/// Splits outside of quotes.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut quote = None;
    text.split(move |c: char| match quote {
        Some(open) => {
            if c == open {
                quote = None;
            }
            false
        }
        None => {
            if matches!(c, '\'' | '"') {
                quote = Some(c);
            }
            c == at
        }
    })
    .collect()
}

fn filter_of(text: &str) -> Result<Step, PathError> {
    const TESTS: &[(&str, Test)] = &[
        ("==", Test::Equal),
        ("!=", Test::Unequal),
        ("<=", Test::AtMost),
        (">=", Test::AtLeast),
        ("<", Test::Less),
        (">", Test::Greater),
    ];
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            _ => {
                if let Some((sign, test)) =
                    TESTS.iter().find(|(sign, _)| text[at..].starts_with(sign))
                {
                    let left = operand(&text[..at])?;
                    return Ok(Step::Filter {
                        left,
                        test: Some((*test, operand(&text[at + sign.len()..])?)),
                    });
                }
            }
        }
    }
    Ok(Step::Filter { left: operand(text)?, test: None })
}

fn operand(text: &str) -> Result<Operand, PathError> {
    let text = text.trim();
    if let Some(literal) = unquoted(text) {
        return Ok(Operand::Literal(literal.into()));
    }
    match text {
        "" => return Err(PathError::Filter),
        "true" => return Ok(Operand::Literal(true.into())),
        "false" => return Ok(Operand::Literal(false.into())),
        _ => {}
    }
    match serde_json::from_str::<serde_json::Number>(text) {
        Ok(number) => Ok(Operand::Literal(Value::Number(number))),
        // A filter in a filter would be a path of paths.
        Err(_) if text.contains("?(") => Err(PathError::Filter),
        Err(_) => JsonPath::parse(text).map(Operand::Path),
    }
}

impl Operand {
    fn of<'v>(&'v self, item: &'v Value, left: &mut usize) -> Option<&'v Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Path(path) => path.find_within(item, left).into_iter().next(),
        }
    }
}

impl Step {
    fn follow<'v>(&self, value: &'v Value, out: &mut Vec<&'v Value>, left: &mut usize) {
        match self {
            Self::Field(name) => out.extend(value.get(name.as_str())),
            Self::Any => out.extend(inner(value).take(FOUND_MAX)),
            Self::Descend => descend(value, out, left),
            Self::Slice { from, to, by } => {
                if let Value::Array(items) = value {
                    out.extend(slice(items, *from, *to, *by));
                }
            }
            Self::Union(steps) => steps.iter().for_each(|step| step.follow(value, out, left)),
            Self::Filter { left: one, test } => {
                for item in value.as_array().into_iter().flatten() {
                    if *left == 0 || out.len() >= FOUND_MAX {
                        return;
                    }
                    *left -= 1;
                    let found = one.of(item, left);
                    let keeps = match (found, test) {
                        (Some(_), None) => true,
                        (Some(a), Some((test, other))) => {
                            other.of(item, left).is_some_and(|b| test.holds(a, b))
                        }
                        (None, _) => false,
                    };
                    if keeps {
                        out.push(item);
                    }
                }
            }
        }
    }
}

fn inner(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn descend<'v>(value: &'v Value, out: &mut Vec<&'v Value>, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    out.push(value);
    for value in inner(value) {
        descend(value, out, left);
    }
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, by: i64) -> Vec<&Value> {
    let length = items.len() as i64;
    let clamp = |at: i64| if at < 0 { at.saturating_add(length) } else { at }.clamp(0, length);
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(length));
    // An index before the first item is none, not the first.
    if by <= 0 || from.saturating_add(length) < 0 {
        return Vec::new();
    }
    let step = usize::try_from(by).unwrap_or(usize::MAX);
    let range = clamp(from) as usize..(clamp(to) as usize).max(clamp(from) as usize);
    items[range].iter().step_by(step).take(FOUND_MAX).collect()
}

impl Test {
    fn holds(self, a: &Value, b: &Value) -> bool {
        let order = match (a, b) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(_), Value::Number(_)) => a.as_f64().partial_cmp(&b.as_f64()),
            _ => None,
        };
        match (self, order) {
            (Self::Equal, order) => order.map_or(a == b, |o| o.is_eq()),
            (Self::Unequal, order) => order.map_or(a != b, |o| o.is_ne()),
            (Self::Less, Some(o)) => o.is_lt(),
            (Self::AtMost, Some(o)) => o.is_le(),
            (Self::Greater, Some(o)) => o.is_gt(),
            (Self::AtLeast, Some(o)) => o.is_ge(),
            (_, None) => false,
        }
    }
}
