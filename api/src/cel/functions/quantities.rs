//! Kubernetes' quantity library.

use super::{Row, f, given, m, text};
use crate::{
    cel::{
        error::{EvalError, failed},
        eval::Context,
        opaque::Opaque,
        value::Value,
    },
    quantity::Quantity,
};

const Q: &str = "kubernetes.Quantity";

pub(super) const ROWS: &[Row] = &[
    f("quantity", "string", Q, |_, a| {
        Quantity::parse(text(a, 0)?).map_or_else(|e| failed(e.to_string()), |q| Ok(made(q)))
    }),
    f("isQuantity", "string", "bool", |_, a| Ok(Value::Bool(Quantity::parse(text(a, 0)?).is_ok()))),
    m("sign", Q, "int", |_, a| {
        let q = take(a, 0)?;
        Ok(Value::Int(if q.is_zero() {
            0
        } else if q.is_negative() {
            -1
        } else {
            1
        }))
    }),
    m("isGreaterThan", "kubernetes.Quantity,kubernetes.Quantity", "bool", |_, a| {
        Ok(Value::Bool(take(a, 0)? > take(a, 1)?))
    }),
    m("isLessThan", "kubernetes.Quantity,kubernetes.Quantity", "bool", |_, a| {
        Ok(Value::Bool(take(a, 0)? < take(a, 1)?))
    }),
    m("compareTo", "kubernetes.Quantity,kubernetes.Quantity", "int", |_, a| {
        Ok(Value::Int(take(a, 0)?.cmp(&take(a, 1)?) as i64))
    }),
    m("isInteger", Q, "bool", |_, a| Ok(Value::Bool(as_integer(take(a, 0)?).is_some()))),
    m("asInteger", Q, "int", |_, a| {
        let whole = as_integer(take(a, 0)?);
        whole.map_or_else(|| failed("cannot convert value to integer"), |v| Ok(Value::Int(v)))
    }),
    m("asApproximateFloat", Q, "double", |_, a| {
        let q = take(a, 0)?;
        let whole = if q.is_integer() { q.value() as f64 } else { q.milli_value() as f64 / 1000.0 };
        Ok(Value::Double(whole))
    }),
    m("add", "kubernetes.Quantity,kubernetes.Quantity", Q, |_, a| {
        Ok(made(take(a, 0)? + take(a, 1)?))
    }),
    m("add", "kubernetes.Quantity,int", Q, |c, a| with_int(c, a, false)),
    m("sub", "kubernetes.Quantity,kubernetes.Quantity", Q, |_, a| {
        Ok(made(take(a, 0)? - take(a, 1)?))
    }),
    m("sub", "kubernetes.Quantity,int", Q, |c, a| with_int(c, a, true)),
];

fn made<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Opaque::Quantity(quantity))
}

fn take(args: &[Value<'_>], index: usize) -> Result<Quantity, EvalError> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Quantity(q))) => Ok(*q),
        _ => Err(EvalError::no_overload()),
    }
}

fn as_integer(quantity: Quantity) -> Option<i64> {
    if !quantity.is_integer() {
        return None;
    }
    i64::try_from(quantity.value()).ok()
}

fn with_int<'a>(
    _: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    less: bool,
) -> Result<Value<'a>, EvalError> {
    given!(args, Value::Opaque(Opaque::Quantity(q)), Value::Int(n));
    let other = Quantity::from_value(*n);
    Ok(made(if less { *q - other } else { *q + other }))
}
