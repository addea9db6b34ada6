//! Texts: CEL's own functions and version 2 of the strings extension.

use super::{Row, f, given, int, m, text};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    value::Value,
};

pub(super) const ROWS: &[Row] = &[
    m("contains", "string,string", "bool", |c, a| two(c, a, |s, t| s.contains(t))),
    m("startsWith", "string,string", "bool", |c, a| two(c, a, |s, t| s.starts_with(t))),
    m("endsWith", "string,string", "bool", |c, a| two(c, a, |s, t| s.ends_with(t))),
    m("charAt", "string,int", "string", char_at),
    m("indexOf", "string,string", "int", index_of),
    m("indexOf", "string,string,int", "int", index_of),
    m("lastIndexOf", "string,string", "int", last_index_of),
    m("lastIndexOf", "string,string,int", "int", last_index_of),
    m("lowerAscii", "string", "string", |c, a| map(c, a, str::to_ascii_lowercase)),
    m("upperAscii", "string", "string", |c, a| map(c, a, str::to_ascii_uppercase)),
    m("trim", "string", "string", |c, a| map(c, a, |s| s.trim().to_owned())),
    m("replace", "string,string,string", "string", replace),
    m("replace", "string,string,string,int", "string", replace),
    m("split", "string,string", "list<string>", split),
    m("split", "string,string,int", "list<string>", split),
    m("substring", "string,int", "string", substring),
    m("substring", "string,int,int", "string", substring),
    m("join", "list<string>", "string", join),
    m("join", "list<string>,string", "string", join),
    f("strings.quote", "string", "string", quote),
];

fn two<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    test: fn(&str, &str) -> bool,
) -> Result<Value<'a>, EvalError> {
    let (a, b) = (text(args, 0)?, text(args, 1)?);
    c.scan(a.len() + b.len())?;
    Ok(Value::Bool(test(a, b)))
}

fn map<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    change: fn(&str) -> String,
) -> Result<Value<'a>, EvalError> {
    let text = text(args, 0)?;
    c.produce(text.len())?;
    Ok(Value::text(change(text)))
}

/// The byte where a code point starts; the end for as many as there are.
fn byte_at(text: &str, code_points: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(i, _)| i).chain([text.len()]);
    places.nth(code_points)
}

fn out_of_range<T>(index: i64) -> Result<T, EvalError> {
    failed(format!("index out of range: {index}"))
}

fn place(text: &str, index: i64) -> Result<usize, EvalError> {
    let byte = usize::try_from(index).ok().and_then(|i| byte_at(text, i));
    byte.map_or_else(|| out_of_range(index), Ok)
}

fn char_at<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, index) = (text(args, 0)?, int(args, 1)?);
    c.scan(text.len())?;
    let at = place(text, index)?;
    Ok(Value::text(text[at..].chars().next().map(String::from).unwrap_or_default()))
}

fn count(text: &str) -> Value<'static> {
    Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
}

fn index_of<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    c.scan(text.len() + part.len())?;
    let from = if args.len() > 2 { int(args, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let start = place(text, from)?;
    let found = text[start..].find(part).map(|at| count(&text[..start + at]));
    Ok(found.unwrap_or(Value::Int(-1)))
}

fn last_index_of<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    c.scan(text.len() + part.len())?;
    let end = match args.len() {
        2 => text.len(),
        // Occurrences that begin at the index still count.
        _ => {
            let start = place(text, int(args, 2)?)?;
            let end = (start + part.len()).min(text.len());
            (end..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
        }
    };
    if part.is_empty() {
        return Ok(if args.len() > 2 { args[2].clone() } else { count(text) });
    }
    let found = text[..end].rfind(part).map(|at| count(&text[..at]));
    Ok(found.unwrap_or(Value::Int(-1)))
}

fn replace<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    c.scan(text.len())?;
    let limit = match args.get(3) {
        Some(Value::Int(n)) => usize::try_from(*n).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    // What it becomes is paid for before it is made.
    let times = text.matches(from).count().min(limit);
    c.produce(text.len().saturating_add(times.saturating_mul(to.len())))?;
    Ok(Value::text(text.replacen(from, to, limit)))
}

fn split<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, by) = (text(args, 0)?, text(args, 1)?);
    let limit = if args.len() > 2 { int(args, 2)? } else { -1 };
    c.produce(text.len())?;
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<String> = if by.is_empty() {
        let mut out: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if out.len() + 1 == limit {
                out.push(rest.to_owned());
                break;
            }
            out.push(first.to_string());
            rest = &rest[first.len_utf8()..];
        }
        out
    } else {
        text.splitn(limit, by).map(str::to_owned).collect()
    };
    c.work(parts.len())?;
    Ok(Value::list(parts.into_iter().map(Value::text).collect()))
}

fn substring<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (text, start) = (text(args, 0)?, int(args, 1)?);
    c.produce(text.len())?;
    let from = place(text, start)?;
    let to = match args.len() {
        2 => text.len(),
        _ => {
            let end = int(args, 2)?;
            if end < start {
                return failed(format!("invalid substring range. start: {start}, end: {end}"));
            }
            place(text, end)?
        }
    };
    Ok(Value::text(&text[from..to]))
}

fn join<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (Some(Value::List(list)), separator) = (args.first(), args.get(1)) else {
        return Err(EvalError::no_overload());
    };
    let separator = if separator.is_some() { text(args, 1)? } else { "" };
    let mut out = String::new();
    for (i, item) in list.iter().enumerate() {
        given!(&[item], Value::String(part));
        c.charge(1)?;
        c.produce(part.as_str().len() + separator.len())?;
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(part.as_str());
    }
    Ok(Value::text(out))
}

fn quote<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let text = text(args, 0)?;
    c.produce(text.len() * 2)?;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for ch in text.chars() {
        match ch {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    Ok(Value::text(out))
}
