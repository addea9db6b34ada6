//! Small checks that all kinds share.

use serde_json::Value;

use super::FieldError;
use crate::{meta, name, selector::LabelSelector};

pub(super) type Errors = Vec<FieldError>;

/// Text of a field that may not change.
pub(super) const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";
const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// A text field, empty if absent.
pub(super) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or("")
}

/// The items of a list field.
pub(super) fn items<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    meta::list(&object[key])
}

/// The entries of a map field.
pub(super) fn entries<'a>(
    object: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object[key].as_object().into_iter().flatten()
}

/// One `Invalid` per message.
pub(super) fn each(out: &mut Errors, path: &str, value: &Value, messages: Vec<String>) {
    out.extend(messages.into_iter().map(|m| FieldError::invalid(path, value.clone(), m)));
}

/// A text field that must be there and pass a name check.
pub(super) fn required_name(
    out: &mut Errors,
    path: &str,
    value: &Value,
    check: fn(&str) -> Vec<String>,
) {
    match value.as_str().unwrap_or("") {
        "" => out.push(FieldError::required(path, "")),
        text => each(out, path, value, check(text)),
    }
}

/// A text field that must be there.
pub(super) fn required(out: &mut Errors, path: String, value: &Value) {
    if value.as_str().unwrap_or("").is_empty() {
        out.push(FieldError::required(path, ""));
    }
}

/// A text field that must be one of a set.
pub(super) fn one_of(out: &mut Errors, path: String, value: &Value, set: &[&str]) {
    match value.as_str().unwrap_or("") {
        "" => out.push(FieldError::required(path, "")),
        text if set.contains(&text) => {}
        text => out.push(FieldError::not_supported(path, text, set)),
    }
}

/// A text field that may be absent and else must be one of a set.
pub(super) fn optional_one_of(out: &mut Errors, path: String, value: &Value, set: &[&str]) {
    if value.is_string() {
        one_of(out, path, value, set);
    }
}

/// A number that may be absent and else must not be negative.
pub(super) fn not_negative(out: &mut Errors, path: String, value: &Value) {
    if let Some(number) = value.as_i64().filter(|n| *n < 0) {
        out.push(FieldError::invalid(path, number, NEGATIVE));
    }
}

/// A number in a range; absent is 0.
pub(super) fn in_range(out: &mut Errors, path: String, value: &Value, low: i64, high: i64) {
    let number = value.as_i64().unwrap_or(0);
    if !(low..=high).contains(&number) {
        let detail = format!("must be between {low} and {high}, inclusive");
        out.push(FieldError::invalid(path, number, detail));
    }
}

/// A port number.
pub(super) fn port(out: &mut Errors, path: String, value: &Value) {
    in_range(out, path, value, 1, 65_535);
}

/// A port number or the name of one.
pub(super) fn port_or_name(out: &mut Errors, path: String, value: &Value) {
    match value {
        Value::String(s) => each(out, &path, value, name::port_name(s)),
        other => port(out, path, other),
    }
}

/// An IP address.
pub(super) fn ip(out: &mut Errors, path: String, value: &str) {
    if value.parse::<std::net::IpAddr>().is_err() {
        out.push(FieldError::invalid(path, value, BAD_IP));
    }
}

/// A map of labels: keys and values. As upstream, the path does not name the key.
pub(super) fn labels(out: &mut Errors, path: &str, map: &Value) {
    for (key, value) in map.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or("");
        each(out, path, &key.as_str().into(), name::qualified_name(key));
        each(out, path, value, name::label_value(text));
    }
}

/// A selector in object form.
pub(super) fn label_selector(out: &mut Errors, path: &str, selector: &Value) {
    labels(out, &format!("{path}.matchLabels"), &selector["matchLabels"]);
    for (i, expression) in items(selector, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = items(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => out.push(FieldError::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => out.push(FieldError::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => out.push(FieldError::invalid(
                format!("{path}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = &expression["key"];
        each(out, &format!("{path}.key"), key, name::qualified_name(text(expression, "key")));
        for (j, value) in values.iter().enumerate() {
            let messages = name::label_value(value.as_str().unwrap_or(""));
            each(out, &format!("{path}.values[{j}]"), value, messages);
        }
    }
}

/// Whether a selector in object form selects nothing in particular.
pub(super) fn selects_all(selector: &Value) -> bool {
    items(selector, "matchExpressions").is_empty()
        && selector["matchLabels"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// Whether a selector in object form matches labels; a bad selector does not.
pub(super) fn selector_matches(selector: &Value, labels: &Value) -> bool {
    LabelSelector::from_object(selector).is_ok_and(|s| s.matches(labels))
}

/// A field that may not change.
pub(crate) fn immutable(out: &mut Errors, path: &str, new: &Value, old: &Value) {
    if new != old {
        out.push(FieldError::invalid(path, new.clone(), IMMUTABLE));
    }
}
