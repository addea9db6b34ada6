//! `format()` of the strings extension.

use super::{
    Row,
    convert::{go_double, plain},
    given, m, text,
};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    value::{Key, Value},
};

/// Most decimals that can be asked for.
const MAX_PRECISION: usize = 100;

pub(super) const ROWS: &[Row] = &[m("format", "string,list<dyn>", "string", format)];

fn format<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    given!(args, _, Value::List(list));
    let template = text(args, 0)?;
    c.produce(template.len())?;
    let mut out = String::new();
    let mut next = 0;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(after)?;
        let Some(verb) = after.chars().next() else {
            return failed("could not parse formatting clause: unexpected end of string");
        };
        rest = &after[verb.len_utf8()..];
        let Some(value) = list.get(next) else {
            return failed(format!("index {next} out of range"));
        };
        next += 1;
        clause(c, &mut out, verb, precision, &value)?;
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

fn precision(text: &str) -> Result<(Option<usize>, &str), EvalError> {
    let Some(after) = text.strip_prefix('.') else { return Ok((None, text)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let digits = after[..end].parse().ok().filter(|p| *p <= MAX_PRECISION);
    match digits {
        Some(digits) => Ok((Some(digits), &after[end..])),
        None => failed("error while parsing precision"),
    }
}

fn clause<'a>(
    c: &mut Context<'_, 'a>,
    out: &mut String,
    verb: char,
    precision: Option<usize>,
    value: &Value<'a>,
) -> Result<(), EvalError> {
    let wrong = || {
        EvalError::Failed(format!(
            "error during formatting: %{verb} clause does not take a value of type {}",
            value.type_name()
        ))
    };
    let number = |value: &Value<'_>| match value {
        Value::Double(v) => Some(*v),
        Value::Int(v) => Some(*v as f64),
        Value::Uint(v) => Some(*v as f64),
        _ => None,
    };
    let text = match (verb, value) {
        ('s', _) => return show(c, out, value, 0),
        ('d', Value::Int(v)) => v.to_string(),
        ('d', Value::Uint(v)) => v.to_string(),
        ('d', Value::Double(v)) if !v.is_finite() => go_double(*v),
        ('f', _) => format!("{:.*}", precision.unwrap_or(6), number(value).ok_or_else(wrong)?),
        ('e', _) => exponent(number(value).ok_or_else(wrong)?, precision.unwrap_or(6)),
        ('b', Value::Bool(v)) => u8::from(*v).to_string(),
        ('b', Value::Int(v)) => signed(*v, |n| format!("{n:b}")),
        ('b', Value::Uint(v)) => format!("{v:b}"),
        ('o', Value::Int(v)) => signed(*v, |n| format!("{n:o}")),
        ('o', Value::Uint(v)) => format!("{v:o}"),
        ('x', Value::Int(v)) => signed(*v, |n| format!("{n:x}")),
        ('X', Value::Int(v)) => signed(*v, |n| format!("{n:X}")),
        ('x', Value::Uint(v)) => format!("{v:x}"),
        ('X', Value::Uint(v)) => format!("{v:X}"),
        ('x', Value::String(s)) => hex(c, s.as_str().as_bytes())?,
        ('X', Value::String(s)) => hex(c, s.as_str().as_bytes())?.to_ascii_uppercase(),
        ('x', Value::Bytes(b)) => hex(c, b)?,
        ('X', Value::Bytes(b)) => hex(c, b)?.to_ascii_uppercase(),
        ('d' | 'b' | 'o' | 'x' | 'X', _) => return Err(wrong()),
        _ => {
            return failed(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{verb}\""
            ));
        }
    };
    c.produce(text.len())?;
    out.push_str(&text);
    Ok(())
}

fn signed(value: i64, show: fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", show(value.unsigned_abs()))
}

fn hex(c: &mut Context<'_, '_>, bytes: &[u8]) -> Result<String, EvalError> {
    c.produce(bytes.len() * 2)?;
    Ok(::hex::encode(bytes))
}

fn exponent(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return go_double(value);
    }
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A value as `%s` shows it.
fn show<'a>(
    c: &mut Context<'_, 'a>,
    out: &mut String,
    value: &Value<'a>,
    depth: usize,
) -> Result<(), EvalError> {
    c.work(1)?;
    if depth > crate::cel::eval::MAX_VALUE_NESTING {
        return failed("value nests too deep");
    }
    match value {
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                show(c, out, &item, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, key) in map.keys().into_iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                let value = map.get(&key).unwrap_or(Value::Null);
                show(c, out, &Key::into_value(key), depth + 1)?;
                out.push_str(": ");
                show(c, out, &value, depth + 1)?;
            }
            out.push('}');
        }
        Value::Bytes(b) => {
            c.produce(b.len())?;
            out.push_str(&String::from_utf8_lossy(b));
        }
        Value::String(s) => {
            c.produce(s.as_str().len())?;
            out.push_str(s.as_str());
        }
        _ => match plain(value) {
            Some(text) => {
                c.produce(text.len())?;
                out.push_str(&text);
            }
            None => {
                return failed(format!(
                    "error during formatting: string clause can only be used on strings, bools, \
                     bytes, ints, doubles, maps, lists, types, durations, and timestamps, was \
                     given {}",
                    value.type_name()
                ));
            }
        },
    }
    Ok(())
}
