//! The checks of one value by itself: its type, bounds, lengths, format and pattern (kube-openapi
//! `pkg/validation/validate/{type,values,validator,formats}.go`).

use serde_json::Value;

use super::{
    node::{Bound, Node, Type},
    value::{at, type_name},
};
use crate::{
    text,
    validate::{FieldError, Reason},
};

fn mismatch(path: &str, expected: &str, found: &str) -> Vec<FieldError> {
    let detail = format!("{path} in body must be of type {expected}: {}", text::quote(found));
    vec![FieldError::new(at(path), Reason::TypeInvalid, found, detail)]
}

fn invalid(path: &str, value: impl Into<Value>, detail: &str) -> FieldError {
    FieldError::invalid(at(path), value, format!("{path} in body {detail}"))
}

/// The type, and null where none may be.
pub(super) fn types(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let expected = match node.ty {
        _ if node.int_or_string => "integer,string",
        Some(ty) => ty.name(),
        None => "",
    };
    if value.is_null() {
        if expected.is_empty() || node.nullable {
            return Vec::new();
        }
        return mismatch(path, expected, "null");
    }
    let is = |ty: Type| node.ty == Some(ty);
    let integral = value.as_f64().is_some_and(|n| n.fract() == 0.0);
    let fits = match value {
        Value::Null => true,
        Value::Bool(_) => is(Type::Boolean),
        Value::Number(_) => {
            is(Type::Number) || ((is(Type::Integer) || node.int_or_string) && integral)
        }
        Value::String(_) => is(Type::String) || node.int_or_string,
        Value::Array(_) => is(Type::Array),
        Value::Object(_) => is(Type::Object),
    };
    let wants_number = is(Type::Number) || is(Type::Integer) || node.int_or_string;
    match &node.checks.format {
        // What has a format is named by it when it is no text at all.
        Some(format) if !fits && !value.is_string() && !value.is_array() => {
            let found = match value {
                Value::Number(n) if n.is_f64() => "double",
                Value::Number(_) => "int64",
                _ => "",
            };
            mismatch(path, &format.name, found)
        }
        Some(_) if !wants_number && (value.is_string() || value.is_array()) => Vec::new(),
        _ if fits || expected.is_empty() => Vec::new(),
        _ => mismatch(path, expected, type_name(value)),
    }
}

/// Whether the value is one of those that may be.
pub(super) fn enumeration(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let values = &node.checks.values;
    if values.is_empty() || values.iter().any(|one| same(one, value)) {
        return Vec::new();
    }
    // A null that may be is not one of them, and upstream refuses it all the same.
    let shown: Vec<String> =
        values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    vec![FieldError::not_supported(at(path), value.clone(), &shown)]
}

/// Equal, whether a number is written as a float or not.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// Lengths, pattern and format of a text; the first that fails is told of the former two.
pub(super) fn text(node: &Node, value: &str, path: &str) -> Vec<FieldError> {
    let checks = &node.checks;
    let mut out = Vec::new();
    let length = value.chars().count() as u64;
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        out.push(FieldError::too_long(at(path), usize::try_from(max).unwrap_or(usize::MAX)));
    } else if let Some(min) = checks.min_length.filter(|min| length < *min) {
        out.push(invalid(path, value, &format!("should be at least {min} chars long")));
    } else if let Some((pattern, regex)) = &checks.pattern
        && !regex.is_match(value)
    {
        out.push(invalid(path, value, &format!("should match '{pattern}'")));
    }
    if let Some(format) = &checks.format
        && !format.accepts(value)
    {
        out.extend(mismatch(path, &format.name, value));
    }
    out
}

/// Bounds and factor of a number.
pub(super) fn number(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let checks = &node.checks;
    let mut out = Vec::new();
    let Some(number) = value.as_f64() else { return out };
    if let Some(factor) = checks.multiple_of {
        let ratio = number / factor;
        if ratio.fract() != 0.0 || !ratio.is_finite() {
            out.push(invalid(
                path,
                value.clone(),
                &format!("should be a multiple of {}", go(factor)),
            ));
        }
    }
    let beyond = |bound: &Bound, sign: f64| {
        let over = (number - bound.at) * sign;
        over > 0.0 || (bound.exclusive && over == 0.0)
    };
    if let Some(max) = checks.maximum.filter(|max| beyond(max, 1.0)) {
        let or_equal = if max.exclusive { "" } else { " or equal to" };
        let text = format!("should be less than{or_equal} {}", go(max.at));
        out.push(invalid(path, value.clone(), &text));
    }
    if let Some(min) = checks.minimum.filter(|min| beyond(min, -1.0)) {
        let or_equal = if min.exclusive { "" } else { " or equal to" };
        let text = format!("should be greater than{or_equal} {}", go(min.at));
        out.push(invalid(path, value.clone(), &text));
    }
    out
}

/// The number of items of a list.
pub(super) fn count_of_items(node: &Node, count: usize, path: &str) -> Vec<FieldError> {
    let checks = &node.checks;
    let mut out = Vec::new();
    if let Some(min) = checks.min_items.filter(|min| (count as u64) < *min) {
        out.push(invalid(path, count, &format!("should have at least {min} items")));
    }
    if let Some(max) = checks.max_items.filter(|max| count as u64 > *max) {
        out.push(FieldError::too_many(at(path), count, usize::try_from(max).unwrap_or(usize::MAX)));
    }
    out
}

/// The number of properties of an object.
pub(super) fn count_of_properties(node: &Node, count: usize, path: &str) -> Vec<FieldError> {
    let checks = &node.checks;
    if let Some(min) = checks.min_properties.filter(|min| (count as u64) < *min) {
        return vec![invalid(path, count, &format!("should have at least {min} properties"))];
    }
    match checks.max_properties.filter(|max| count as u64 > *max) {
        Some(max) => {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            vec![FieldError::too_many(at(path), count, max)]
        }
        None => Vec::new(),
    }
}

/// A number as Go's `%v` prints a float.
fn go(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-4..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_go() {
        for (number, text) in
            [(10.0, "10"), (0.5, "0.5"), (1e21, "1e+21"), (1.5e-7, "1.5e-07"), (-3.0, "-3")]
        {
            assert_eq!(go(number), text);
        }
    }
}
