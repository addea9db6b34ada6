//! Operators, equality, order and membership.

use std::{cmp::Ordering, sync::Arc};

use ::time::Duration as Span;

use super::{Row, f, given, m};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    types::ListKind,
    value::{Key, List, Map, Value},
};

pub(super) const ROWS: &[Row] = &[
    f("!_", "bool", "bool", |_, a| {
        given!(a, Value::Bool(v));
        Ok(Value::Bool(!v))
    }),
    f("-_", "int", "int", negate),
    f("-_", "double", "double", negate),
    f("_+_", "int,int", "int", arithmetic::<'+'>),
    f("_+_", "uint,uint", "uint", arithmetic::<'+'>),
    f("_+_", "double,double", "double", arithmetic::<'+'>),
    f("_+_", "string,string", "string", join),
    f("_+_", "bytes,bytes", "bytes", join),
    f("_+_", "list<A>,list<A>", "list<A>", join),
    f("_+_", "duration,duration", "duration", moments::<'+'>),
    f("_+_", "timestamp,duration", "timestamp", moments::<'+'>),
    f("_+_", "duration,timestamp", "timestamp", moments::<'+'>),
    f("_-_", "int,int", "int", arithmetic::<'-'>),
    f("_-_", "uint,uint", "uint", arithmetic::<'-'>),
    f("_-_", "double,double", "double", arithmetic::<'-'>),
    f("_-_", "duration,duration", "duration", moments::<'-'>),
    f("_-_", "timestamp,duration", "timestamp", moments::<'-'>),
    f("_-_", "timestamp,timestamp", "duration", moments::<'-'>),
    f("_*_", "int,int", "int", arithmetic::<'*'>),
    f("_*_", "uint,uint", "uint", arithmetic::<'*'>),
    f("_*_", "double,double", "double", arithmetic::<'*'>),
    f("_/_", "int,int", "int", arithmetic::<'/'>),
    f("_/_", "uint,uint", "uint", arithmetic::<'/'>),
    f("_/_", "double,double", "double", arithmetic::<'/'>),
    f("_%_", "int,int", "int", arithmetic::<'%'>),
    f("_%_", "uint,uint", "uint", arithmetic::<'%'>),
    f("_==_", "A,A", "bool", |c, a| equality(c, a, true)),
    f("_!=_", "A,A", "bool", |c, a| equality(c, a, false)),
    f("@in", "A,list<A>", "bool", contains),
    f("@in", "A,map<A,B>", "bool", contains),
    f("size", "string", "int", size),
    f("size", "bytes", "int", size),
    f("size", "list<A>", "int", size),
    f("size", "map<A,B>", "int", size),
    m("size", "string", "int", size),
    m("size", "bytes", "int", size),
    m("size", "list<A>", "int", size),
    m("size", "map<A,B>", "int", size),
];

const OVERFLOW: &str = "return error for overflow";

fn negate<'a>(_: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Int(v)] => v.checked_neg().map_or_else(|| failed(OVERFLOW), |v| Ok(Value::Int(v))),
        [Value::Double(v)] => Ok(Value::Double(-v)),
        _ => Err(EvalError::no_overload()),
    }
}

fn arithmetic<'a, const OPERATOR: char>(
    _: &mut Context<'_, 'a>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let value = match args {
        [_, Value::Int(0)] | [_, Value::Uint(0)] if OPERATOR == '/' => {
            return failed("division by zero");
        }
        [_, Value::Int(0)] | [_, Value::Uint(0)] if OPERATOR == '%' => {
            return failed("modulus by zero");
        }
        [Value::Int(a), Value::Int(b)] => match OPERATOR {
            '+' => a.checked_add(*b),
            '-' => a.checked_sub(*b),
            '*' => a.checked_mul(*b),
            '/' => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Int),
        [Value::Uint(a), Value::Uint(b)] => match OPERATOR {
            '+' => a.checked_add(*b),
            '-' => a.checked_sub(*b),
            '*' => a.checked_mul(*b),
            '/' => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Uint),
        [Value::Double(a), Value::Double(b)] => Some(Value::Double(match OPERATOR {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            _ => a / b,
        })),
        _ => return Err(EvalError::no_overload()),
    };
    value.map_or_else(|| failed(OVERFLOW), Ok)
}

fn moments<'a, const OPERATOR: char>(
    _: &mut Context<'_, 'a>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let shifted = |moment: &::time::OffsetDateTime, nanos: i64| {
        let sign = if OPERATOR == '-' { -1 } else { 1 };
        let span = Span::nanoseconds(nanos.checked_mul(sign)?);
        let moment = moment.checked_add(span)?;
        (1..=9999).contains(&moment.year()).then_some(Value::Timestamp(moment))
    };
    let value = match args {
        [Value::Duration(a), Value::Duration(b)] => {
            let sum = if OPERATOR == '+' { a.checked_add(*b) } else { a.checked_sub(*b) };
            sum.map(Value::Duration)
        }
        [Value::Timestamp(t), Value::Duration(d)] | [Value::Duration(d), Value::Timestamp(t)] => {
            shifted(t, *d)
        }
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            i64::try_from((*a - *b).whole_nanoseconds()).ok().map(Value::Duration)
        }
        _ => return Err(EvalError::no_overload()),
    };
    value.map_or_else(|| failed(OVERFLOW), Ok)
}

/// `+` of texts, octets and lists.
fn join<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Bytes(a), Value::Bytes(b)] => {
            c.produce(a.len() + b.len())?;
            Ok(Value::Bytes([&a[..], &b[..]].concat().into()))
        }
        [Value::List(a), Value::List(b)] => join_lists(c, a, b),
        [_, _] => {
            let (a, b) = (super::text(args, 0)?, super::text(args, 1)?);
            c.produce(a.len() + b.len())?;
            Ok(Value::text(format!("{a}{b}")))
        }
        _ => Err(EvalError::no_overload()),
    }
}

/// Lists one after the other. Declared sets and maps merge, as server-side apply does it.
fn join_lists<'a>(
    c: &mut Context<'_, 'a>,
    a: &List<'a>,
    b: &List<'a>,
) -> Result<Value<'a>, EvalError> {
    c.work(a.len() + b.len())?;
    let kind = a.declared().map_or(ListKind::Atomic, |d| d.kind.clone());
    let mut out: Vec<Value<'a>> = a.iter().collect();
    match kind {
        ListKind::Atomic => out.extend(b.iter()),
        ListKind::Set => {
            for item in b.iter() {
                if find(c, &out, &item, None)?.is_none() {
                    out.push(item);
                }
            }
        }
        ListKind::Map(keys) => {
            for item in b.iter() {
                match find(c, &out, &item, Some(&keys))? {
                    Some(at) => out[at] = item,
                    None => out.push(item),
                }
            }
        }
    }
    Ok(Value::List(List::Owned(Arc::new(out))))
}

/// Where an element is: an equal one, or one with the same keys.
fn find<'a>(
    c: &mut Context<'_, 'a>,
    list: &[Value<'a>],
    item: &Value<'a>,
    keys: Option<&[String]>,
) -> Result<Option<usize>, EvalError> {
    for (at, other) in list.iter().enumerate() {
        let same = match keys {
            None => equal(c, other, item)?,
            Some(keys) => same_keys(c, other, item, keys)?,
        };
        if same {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn same_keys<'a>(
    c: &mut Context<'_, 'a>,
    a: &Value<'a>,
    b: &Value<'a>,
    keys: &[String],
) -> Result<bool, EvalError> {
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return Ok(false) };
    for key in keys {
        let name = super::super::types::escape(key).unwrap_or_default();
        let key = Key::String(name.into());
        let same = match (a.get(&key), b.get(&key)) {
            (Some(x), Some(y)) => equal(c, &x, &y)?,
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `==` and `!=`.
pub(crate) fn equality<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    wanted: bool,
) -> Result<Value<'a>, EvalError> {
    given!(args, a, b);
    Ok(Value::Bool(equal(c, a, b)? == wanted))
}

/// Whether two values are the same; values of different kinds are not, numbers compare by amount.
pub(crate) fn equal<'a>(
    c: &mut Context<'_, 'a>,
    a: &Value<'a>,
    b: &Value<'a>,
) -> Result<bool, EvalError> {
    c.work(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            if a.len() != b.len() {
                return Ok(false);
            }
            c.scan(a.len())?;
            a == b
        }
        (Value::Opaque(super::Opaque::Pattern(p)), Value::String(s))
        | (Value::String(s), Value::Opaque(super::Opaque::Pattern(p))) => p.as_str() == s.as_str(),
        (Value::Bytes(a), Value::Bytes(b)) => {
            c.scan(a.len())?;
            a == b
        }
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::List(a), Value::List(b)) => equal_lists(c, a, b)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(c, a, b)?,
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(c, a, b)?,
            (None, None) => true,
            _ => false,
        },
        (Value::Opaque(a), Value::Opaque(b)) => a.equals(b),
        _ => order(a, b) == Some(Ordering::Equal),
    })
}

fn equal_lists<'a>(c: &mut Context<'_, 'a>, a: &List<'a>, b: &List<'a>) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let kind = a.declared().or(b.declared()).map_or(ListKind::Atomic, |d| d.kind.clone());
    if kind == ListKind::Atomic {
        for (x, y) in a.iter().zip(b.iter()) {
            if !equal(c, &x, &y)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let others: Vec<Value<'a>> = b.iter().collect();
    for item in a.iter() {
        let keys = if let ListKind::Map(keys) = &kind { Some(keys.as_slice()) } else { None };
        let Some(at) = find(c, &others, &item, keys)? else { return Ok(false) };
        if keys.is_some() && !equal(c, &item, &others[at])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps<'a>(c: &mut Context<'_, 'a>, a: &Map<'a>, b: &Map<'a>) -> Result<bool, EvalError> {
    let keys = a.keys();
    c.work(keys.len())?;
    if keys.len() != b.keys().len() {
        return Ok(false);
    }
    for key in keys {
        match (a.get(&key), b.get(&key)) {
            (Some(x), Some(y)) if equal(c, &x, &y)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Order of values that have one. Numbers of different kinds compare by amount.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |v: &Value<'_>| match v {
        Value::Int(v) => Some(i128::from(*v)),
        Value::Uint(v) => Some(i128::from(*v)),
        _ => None,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => a.partial_cmp(&(whole(b)? as f64)),
        (a, Value::Double(b)) => (whole(a)? as f64).partial_cmp(b),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// `in`.
fn contains<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    match args {
        [item, Value::List(list)] => {
            for other in list.iter() {
                c.charge(1)?;
                if equal(c, item, &other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [item, Value::Map(map)] => {
            let found = Key::from_value(item).is_some_and(|k| map.get(&k).is_some());
            Ok(Value::Bool(found))
        }
        _ => Err(EvalError::no_overload()),
    }
}

fn size<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let length = match args {
        [Value::Bytes(b)] => b.len(),
        [Value::List(l)] => l.len(),
        [Value::Map(m)] => m.len(),
        _ => {
            let text = super::text(args, 0)?;
            c.scan(text.len())?;
            text.chars().count()
        }
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// `a[b]`.
pub(crate) fn index<'a>(of: &Value<'a>, at: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
    match of {
        Value::List(list) => {
            let place = match at {
                Value::Int(v) => *v,
                Value::Uint(v) => i64::try_from(*v).unwrap_or(i64::MAX),
                Value::Double(v) if v.fract() == 0.0 => *v as i64,
                _ => return failed(format!("unsupported index type '{}' in list", at.type_name())),
            };
            Ok(usize::try_from(place).ok().and_then(|p| list.get(p)))
        }
        Value::Map(map) => Ok(Key::from_value(at).and_then(|key| map.get(&key))),
        _ => Err(EvalError::no_overload()),
    }
}
