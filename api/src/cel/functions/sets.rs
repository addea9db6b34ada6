//! The sets extension: lists as sets.

use super::{Row, f, given, operators::equal};
use crate::cel::{
    error::EvalError,
    eval::Context,
    value::{List, Value},
};

pub(super) const ROWS: &[Row] = &[
    f("sets.contains", "list<A>,list<A>", "bool", |c, a| {
        given!(a, Value::List(x), Value::List(y));
        within(c, y, x).map(Value::Bool)
    }),
    f("sets.equivalent", "list<A>,list<A>", "bool", |c, a| {
        given!(a, Value::List(x), Value::List(y));
        Ok(Value::Bool(within(c, y, x)? && within(c, x, y)?))
    }),
    f("sets.intersects", "list<A>,list<A>", "bool", |c, a| {
        given!(a, Value::List(x), Value::List(y));
        for item in x.iter() {
            if has(c, y, &item)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
];

fn has<'a>(
    c: &mut Context<'_, 'a>,
    list: &List<'a>,
    wanted: &Value<'a>,
) -> Result<bool, EvalError> {
    for item in list.iter() {
        c.charge(1)?;
        if equal(c, &item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn within<'a>(
    c: &mut Context<'_, 'a>,
    small: &List<'a>,
    large: &List<'a>,
) -> Result<bool, EvalError> {
    for item in small.iter() {
        if !has(c, large, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}
