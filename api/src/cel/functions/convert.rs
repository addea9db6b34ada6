//! Conversions between types.

use super::{Row, f, given};
use crate::cel::{
    duration,
    error::{EvalError, failed},
    eval::Context,
    value::{Text, Value, timestamp},
};
use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub(super) const ROWS: &[Row] = &[
    f("int", "int", "int", to_int),
    f("int", "uint", "int", to_int),
    f("int", "double", "int", to_int),
    f("int", "string", "int", to_int),
    f("int", "timestamp", "int", to_int),
    f("int", "duration", "int", to_int),
    f("uint", "uint", "uint", to_uint),
    f("uint", "int", "uint", to_uint),
    f("uint", "double", "uint", to_uint),
    f("uint", "string", "uint", to_uint),
    f("double", "double", "double", to_double),
    f("double", "int", "double", to_double),
    f("double", "uint", "double", to_double),
    f("double", "string", "double", to_double),
    f("bool", "bool", "bool", to_bool),
    f("bool", "string", "bool", to_bool),
    f("string", "string", "string", to_string),
    f("string", "bool", "string", to_string),
    f("string", "int", "string", to_string),
    f("string", "uint", "string", to_string),
    f("string", "double", "string", to_string),
    f("string", "bytes", "string", to_string),
    f("string", "timestamp", "string", to_string),
    f("string", "duration", "string", to_string),
    f("string", "net.IP", "string", to_string),
    f("string", "net.CIDR", "string", to_string),
    f("bytes", "bytes", "bytes", to_bytes),
    f("bytes", "string", "bytes", to_bytes),
    f("timestamp", "timestamp", "timestamp", to_timestamp),
    f("timestamp", "string", "timestamp", to_timestamp),
    f("timestamp", "int", "timestamp", to_timestamp),
    f("duration", "duration", "duration", to_duration),
    f("duration", "string", "duration", to_duration),
    f("dyn", "A", "dyn", |_, a| {
        given!(a, v);
        Ok(v.clone())
    }),
    f("type", "A", "type", |_, a| {
        given!(a, v);
        Ok(Value::Type(Text::from(v.type_name().to_owned())))
    }),
];

const RANGE: &str = "range error";

/// Whole numbers beyond this are not exact as doubles; `i64::MAX` itself is not one.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

fn to_int<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let value = match args {
        [Value::Int(v)] => Some(*v),
        [Value::Uint(v)] => i64::try_from(*v).ok(),
        [Value::Double(v)] => (*v > -TWO_TO_63 && *v < TWO_TO_63).then_some(*v as i64),
        [Value::Timestamp(t)] => Some(t.unix_timestamp()),
        [Value::Duration(d)] => Some(*d),
        _ => {
            let text = super::text(args, 0)?;
            c.scan(text.len())?;
            match text.parse() {
                Ok(v) => Some(v),
                Err(_) => {
                    return failed(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
                }
            }
        }
    };
    value.map_or_else(|| failed(RANGE), |v| Ok(Value::Int(v)))
}

fn to_uint<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let value = match args {
        [Value::Uint(v)] => Some(*v),
        [Value::Int(v)] => u64::try_from(*v).ok(),
        [Value::Double(v)] => (*v >= 0.0 && *v < TWO_TO_64).then_some(*v as u64),
        _ => {
            let text = super::text(args, 0)?;
            c.scan(text.len())?;
            match text.parse() {
                Ok(v) => Some(v),
                Err(_) => {
                    return failed(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"));
                }
            }
        }
    };
    value.map_or_else(|| failed(RANGE), |v| Ok(Value::Uint(v)))
}

fn to_double<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Double(match args {
        [Value::Double(v)] => *v,
        [Value::Int(v)] => *v as f64,
        [Value::Uint(v)] => *v as f64,
        _ => {
            let text = super::text(args, 0)?;
            c.scan(text.len())?;
            match text.parse() {
                Ok(v) => v,
                Err(_) => {
                    return failed(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"));
                }
            }
        }
    }))
}

fn to_bool<'a>(_: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    if let [Value::Bool(v)] = args {
        return Ok(Value::Bool(*v));
    }
    match super::text(args, 0)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        other => failed(format!("strconv.ParseBool: parsing {other:?}: invalid syntax")),
    }
}

fn to_string<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    given!(args, value);
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Bytes(b) => {
            c.produce(b.len())?;
            match std::str::from_utf8(b) {
                Ok(text) => Ok(Value::text(text)),
                Err(_) => failed("invalid UTF-8 in bytes, cannot convert to string"),
            }
        }
        _ => plain(value).map_or_else(|| Err(EvalError::no_overload()), |t| Ok(Value::text(t))),
    }
}

/// The text of a value that has a short one.
pub(in crate::cel) fn plain(value: &Value<'_>) -> Option<String> {
    use crate::cel::opaque::Opaque;
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Uint(v) => v.to_string(),
        Value::Double(v) => go_double(*v),
        Value::String(s) => s.as_str().to_owned(),
        Value::Type(t) => t.as_str().to_owned(),
        Value::Timestamp(t) => t.format(&Rfc3339).ok()?,
        Value::Duration(d) => duration::seconds(*d),
        Value::Opaque(Opaque::Pattern(p)) => p.as_str().to_owned(),
        Value::Opaque(Opaque::Ip(ip)) => ip.to_string(),
        Value::Opaque(Opaque::Cidr(ip, bits)) => format!("{ip}/{bits}"),
        _ => return None,
    })
}

/// A double as Go's `%g` writes it: with an exponent below 1e-4 and from 1e6 on.
pub(super) fn go_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

fn to_bytes<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    if let [Value::Bytes(_)] = args {
        return Ok(args[0].clone());
    }
    let text = super::text(args, 0)?;
    c.produce(text.len())?;
    Ok(Value::Bytes(text.as_bytes().into()))
}

fn to_timestamp<'a>(_: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let moment = match args {
        [Value::Timestamp(t)] => Some(*t),
        [Value::Int(v)] => {
            OffsetDateTime::from_unix_timestamp(*v).ok().filter(|t| (1..=9999).contains(&t.year()))
        }
        _ => {
            let text = super::text(args, 0)?;
            let parsed = if text.len() > 10 { timestamp(text) } else { None };
            match parsed {
                Some(t) => Some(t),
                None => return failed("invalid timestamp"),
            }
        }
    };
    moment.map_or_else(|| failed(RANGE), |t| Ok(Value::Timestamp(t)))
}

fn to_duration<'a>(_: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    if let [Value::Duration(d)] = args {
        return Ok(Value::Duration(*d));
    }
    let text = super::text(args, 0)?;
    match duration::parse(text) {
        Some(d) => Ok(Value::Duration(d)),
        None => failed(format!("time: invalid duration {text:?}")),
    }
}
