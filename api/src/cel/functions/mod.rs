//! The functions of Kubernetes' CEL environment: a table of signatures, each with what runs it.

mod authz;
pub(super) mod convert;
pub(super) mod format;
mod lists;
mod net;
mod operators;
mod optional;
mod printf;
mod quantities;
mod regexes;
pub(super) mod semver;
mod sets;
mod strings;
mod time;
pub(super) mod url;

use std::{collections::HashMap, sync::OnceLock};

use super::{
    error::EvalError,
    eval::Context,
    opaque::Opaque,
    types::Type,
    value::{Map, Value},
};

pub(super) use operators::index;
pub(super) use regexes::literal as pattern_literal;

/// What runs a function: the arguments fit the signature.
pub(super) type Run =
    for<'a> fn(&mut Context<'_, 'a>, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// A row of a library: name, types of the arguments, type of the result. In a type `A` and `B`
/// stand for any type.
pub(super) struct Row {
    name: &'static str,
    member: bool,
    args: &'static str,
    result: &'static str,
    run: Run,
}

/// One signature of a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// Whether it is called on its first argument.
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    pub run: Run,
}

/// A function.
const fn f(name: &'static str, args: &'static str, result: &'static str, run: Run) -> Row {
    Row { name, member: false, args, result, run }
}

/// A function that is called on its first argument.
const fn m(name: &'static str, args: &'static str, result: &'static str, run: Run) -> Row {
    Row { name, member: true, args, result, run }
}

/// All signatures of a name.
pub(super) fn overloads(name: &str) -> &'static [Overload] {
    static TABLE: OnceLock<HashMap<&'static str, Vec<Overload>>> = OnceLock::new();
    TABLE.get_or_init(table).get(name).map_or(&[], Vec::as_slice)
}

fn table() -> HashMap<&'static str, Vec<Overload>> {
    let libraries = [
        operators::ROWS,
        convert::ROWS,
        strings::ROWS,
        time::ROWS,
        lists::ROWS,
        sets::ROWS,
        optional::ROWS,
        regexes::ROWS,
        quantities::ROWS,
        url::ROWS,
        net::ROWS,
        semver::ROWS,
        format::ROWS,
        printf::ROWS,
        authz::ROWS,
        time::COMPARISONS,
    ];
    let mut out: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for row in libraries.into_iter().flatten() {
        let overload = Overload {
            member: row.member,
            args: split(row.args).into_iter().map(read_type).collect(),
            result: read_type(row.result),
            run: row.run,
        };
        out.entry(row.name).or_default().push(overload);
    }
    out
}

/// Parts at commas that are not inside of `<>`.
fn split(text: &'static str) -> Vec<&'static str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        out.push(&text[start..]);
    }
    out
}

fn read_type(text: &'static str) -> Type {
    if let Some((outer, inner)) = text.strip_suffix('>').and_then(|t| t.split_once('<')) {
        let mut inner = split(inner).into_iter().map(read_type);
        let mut next = || inner.next().unwrap_or(Type::Dyn);
        return match outer {
            "list" => Type::list(next()),
            "optional" => Type::optional(next()),
            _ => Type::map(next(), next()),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type,
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        other => Type::Opaque(other),
    }
}

/// Whether a value is of a type, not looking inside of lists and maps.
pub(super) fn fits(declared: &Type, value: &Value<'_>) -> bool {
    match (declared, value) {
        (Type::Dyn | Type::Param(_) | Type::Var(_), _)
        | (Type::Null, Value::Null)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_) | Value::Opaque(Opaque::Pattern(_)))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Type, Value::Type(_))
        | (Type::List(_), Value::List(_))
        | (Type::Optional(_), Value::Optional(_))
        | (Type::Object(_), Value::Map(Map::Json(..))) => true,
        (Type::Map(_), Value::Map(map)) => !matches!(map, Map::Json(_, Type::Object(_))),
        (Type::Opaque(name), Value::Opaque(opaque)) => opaque.type_name() == *name,
        _ => false,
    }
}

/// An argument as text; the signature has made sure that it is.
fn text<'v>(args: &'v [Value<'_>], index: usize) -> Result<&'v str, EvalError> {
    match args.get(index) {
        Some(Value::String(s)) => Ok(s.as_str()),
        Some(Value::Opaque(Opaque::Pattern(regex))) => Ok(regex.as_str()),
        _ => Err(EvalError::no_overload()),
    }
}

/// An argument as a number.
fn int(args: &[Value<'_>], index: usize) -> Result<i64, EvalError> {
    match args.get(index) {
        Some(Value::Int(v)) => Ok(*v),
        _ => Err(EvalError::no_overload()),
    }
}

/// Takes the arguments apart; another shape than the signature says is no overload.
macro_rules! given {
    ($args:expr, $($pattern:pat),+ $(,)?) => {
        let [$($pattern),+] = $args else { return Err($crate::cel::error::EvalError::no_overload()) };
    };
}
use given;
