//! Kubernetes' list library: `isSorted`, `sum`, `min`, `max`, `indexOf`, `lastIndexOf`.

use std::cmp::Ordering;

use super::{
    Row, given, m,
    operators::{equal, order},
};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    value::Value,
};

pub(super) const ROWS: &[Row] = &[
    m("isSorted", "list<A>", "bool", is_sorted),
    m("sum", "list<int>", "int", sum),
    m("sum", "list<uint>", "uint", sum),
    m("sum", "list<double>", "double", sum),
    m("sum", "list<duration>", "duration", sum),
    m("min", "list<A>", "A", |c, a| extreme(c, a, Ordering::Less, "min")),
    m("max", "list<A>", "A", |c, a| extreme(c, a, Ordering::Greater, "max")),
    m("indexOf", "list<A>,A", "int", |c, a| find(c, a, false)),
    m("lastIndexOf", "list<A>,A", "int", |c, a| find(c, a, true)),
];

fn is_sorted<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    given!(args, Value::List(list));
    c.charge(list.len())?;
    let mut last: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(last) = &last {
            match order(last, &item) {
                Some(Ordering::Greater) => return Ok(Value::Bool(false)),
                Some(_) => {}
                None => return Err(EvalError::no_overload()),
            }
        }
        last = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    given!(args, Value::List(list));
    c.charge(list.len())?;
    let mut total: Option<Value<'a>> = None;
    for item in list.iter() {
        total = Some(match (total, item) {
            (None, item) => item,
            (Some(Value::Int(a)), Value::Int(b)) => a
                .checked_add(b)
                .map_or_else(|| failed("integer overflow"), |v| Ok(Value::Int(v)))?,
            (Some(Value::Uint(a)), Value::Uint(b)) => a
                .checked_add(b)
                .map_or_else(|| failed("unsigned integer overflow"), |v| Ok(Value::Uint(v)))?,
            (Some(Value::Double(a)), Value::Double(b)) => Value::Double(a + b),
            (Some(Value::Duration(a)), Value::Duration(b)) => a
                .checked_add(b)
                .map_or_else(|| failed("duration overflow"), |v| Ok(Value::Duration(v)))?,
            _ => return Err(EvalError::no_overload()),
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    wanted: Ordering,
    name: &str,
) -> Result<Value<'a>, EvalError> {
    given!(args, Value::List(list));
    c.charge(list.len())?;
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        best = Some(match best {
            None => item,
            Some(best) => match order(&item, &best) {
                Some(o) if o == wanted => item,
                Some(_) => best,
                None => return Err(EvalError::no_overload()),
            },
        });
    }
    best.map_or_else(|| failed(format!("{name} called on empty list")), Ok)
}

fn find<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    last: bool,
) -> Result<Value<'a>, EvalError> {
    given!(args, Value::List(list), wanted);
    c.charge(list.len())?;
    let mut found = -1;
    for (at, item) in list.iter().enumerate() {
        if equal(c, &item, wanted)? {
            found = i64::try_from(at).unwrap_or(i64::MAX);
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}
