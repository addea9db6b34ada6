//! Parts of moments and durations, and the comparisons of everything that has an order.

use ::time::{OffsetDateTime, UtcOffset};

use super::{Row, f, m, operators::order};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    value::Value,
};

macro_rules! comparisons {
    ($($a:literal),+ $(,)?) => {
        &[$(
            f("_<_", $a, "bool", |c, a| compare(c, a, |o| o.is_lt())),
            f("_<=_", $a, "bool", |c, a| compare(c, a, |o| o.is_le())),
            f("_>_", $a, "bool", |c, a| compare(c, a, |o| o.is_gt())),
            f("_>=_", $a, "bool", |c, a| compare(c, a, |o| o.is_ge())),
        )+]
    };
}

pub(super) const COMPARISONS: &[Row] = comparisons!(
    "bool,bool",
    "int,int",
    "int,uint",
    "int,double",
    "uint,uint",
    "uint,int",
    "uint,double",
    "double,double",
    "double,int",
    "double,uint",
    "string,string",
    "bytes,bytes",
    "timestamp,timestamp",
    "duration,duration",
);

pub(super) const ROWS: &[Row] = &[
    m("getFullYear", "timestamp", "int", |_, a| part(a, |t| i64::from(t.year()))),
    m("getFullYear", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.year()))),
    m("getMonth", "timestamp", "int", |_, a| part(a, month)),
    m("getMonth", "timestamp,string", "int", |_, a| part(a, month)),
    m("getDayOfYear", "timestamp", "int", |_, a| part(a, |t| i64::from(t.ordinal()) - 1)),
    m("getDayOfYear", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.ordinal()) - 1)),
    m("getDayOfMonth", "timestamp", "int", |_, a| part(a, |t| i64::from(t.day()) - 1)),
    m("getDayOfMonth", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.day()) - 1)),
    m("getDate", "timestamp", "int", |_, a| part(a, |t| i64::from(t.day()))),
    m("getDate", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.day()))),
    m("getDayOfWeek", "timestamp", "int", |_, a| part(a, weekday)),
    m("getDayOfWeek", "timestamp,string", "int", |_, a| part(a, weekday)),
    m("getHours", "timestamp", "int", |_, a| part(a, |t| i64::from(t.hour()))),
    m("getHours", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.hour()))),
    m("getHours", "duration", "int", |_, a| whole(a, 3_600_000_000_000)),
    m("getMinutes", "timestamp", "int", |_, a| part(a, |t| i64::from(t.minute()))),
    m("getMinutes", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.minute()))),
    m("getMinutes", "duration", "int", |_, a| whole(a, 60_000_000_000)),
    m("getSeconds", "timestamp", "int", |_, a| part(a, |t| i64::from(t.second()))),
    m("getSeconds", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.second()))),
    m("getSeconds", "duration", "int", |_, a| whole(a, 1_000_000_000)),
    m("getMilliseconds", "timestamp", "int", |_, a| part(a, |t| i64::from(t.millisecond()))),
    m("getMilliseconds", "timestamp,string", "int", |_, a| part(a, |t| i64::from(t.millisecond()))),
    m("getMilliseconds", "duration", "int", |_, a| whole(a, 1_000_000)),
];

fn compare<'a>(
    c: &mut Context<'_, 'a>,
    args: &[Value<'a>],
    wanted: fn(std::cmp::Ordering) -> bool,
) -> Result<Value<'a>, EvalError> {
    let [a, b] = args else { return Err(EvalError::no_overload()) };
    if let (Value::String(a), Value::String(b)) = (a, b) {
        c.scan(a.as_str().len().min(b.as_str().len()))?;
    }
    // Not a number has no order; every comparison with it is false.
    Ok(Value::Bool(order(a, b).is_some_and(wanted)))
}

fn month(moment: OffsetDateTime) -> i64 {
    i64::from(u8::from(moment.month())) - 1
}

fn weekday(moment: OffsetDateTime) -> i64 {
    i64::from(moment.weekday().number_days_from_sunday())
}

/// A part of a moment, in the zone that is named. Zones are `UTC` and offsets: there is no
/// database of zones here.
fn part<'a>(args: &[Value<'a>], take: fn(OffsetDateTime) -> i64) -> Result<Value<'a>, EvalError> {
    let [Value::Timestamp(moment), zone @ ..] = args else {
        return Err(EvalError::no_overload());
    };
    let moment = match zone {
        [] => *moment,
        _ => {
            let name = super::text(args, 1)?;
            let Some(offset) = offset(name) else {
                return failed(format!("unknown time zone {name}"));
            };
            moment.checked_to_offset(offset).unwrap_or(*moment)
        }
    };
    Ok(Value::Int(take(moment)))
}

fn offset(name: &str) -> Option<UtcOffset> {
    if matches!(name, "" | "UTC") {
        return Some(UtcOffset::UTC);
    }
    let (hours, minutes) = name.split_once(':')?;
    let sign = if hours.starts_with('-') { -1 } else { 1 };
    UtcOffset::from_hms(hours.parse().ok()?, sign * minutes.parse::<i8>().ok()?, 0).ok()
}

fn whole<'a>(args: &[Value<'a>], unit: i64) -> Result<Value<'a>, EvalError> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => Err(EvalError::no_overload()),
    }
}
