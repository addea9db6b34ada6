//! Optional values.

use super::{Row, f, given, m};
use crate::cel::{error::failed, value::Value};

pub(super) const ROWS: &[Row] = &[
    f("optional.of", "A", "optional<A>", |_, a| {
        given!(a, v);
        Ok(v.clone().some())
    }),
    f("optional.none", "", "optional<A>", |_, _| Ok(Value::Optional(None))),
    f("optional.ofNonZeroValue", "A", "optional<A>", |_, a| {
        given!(a, v);
        Ok(if is_zero(v) { Value::Optional(None) } else { v.clone().some() })
    }),
    m("hasValue", "optional<A>", "bool", |_, a| {
        given!(a, Value::Optional(v));
        Ok(Value::Bool(v.is_some()))
    }),
    m("value", "optional<A>", "A", |_, a| {
        given!(a, Value::Optional(v));
        v.as_ref().map_or_else(|| failed("optional.none() dereference"), |v| Ok((**v).clone()))
    }),
    m("or", "optional<A>,optional<A>", "optional<A>", |_, a| {
        given!(a, first, second);
        Ok(if matches!(first, Value::Optional(Some(_))) { first.clone() } else { second.clone() })
    }),
    m("orValue", "optional<A>,A", "A", |_, a| {
        given!(a, Value::Optional(v), other);
        Ok(v.as_ref().map_or_else(|| other.clone(), |v| (**v).clone()))
    }),
];

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Optional(None) => true,
        Value::Int(v) | Value::Duration(v) => *v == 0,
        Value::Uint(v) => *v == 0,
        Value::Double(v) => *v == 0.0,
        Value::String(s) => s.as_str().is_empty(),
        Value::Bytes(b) => b.is_empty(),
        Value::List(l) => l.is_empty(),
        Value::Map(m) => m.is_empty(),
        _ => false,
    }
}
