//! Short ways to read a JSON object; an absent or mistyped field reads as empty, because a printer
//! must render whatever is stored.

use serde_json::Value;

/// The value at a `/`-separated JSON pointer.
pub fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    object.pointer(pointer).filter(|v| !v.is_null())
}

/// The string at `pointer`, or `""`.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or("")
}

/// The string at `pointer` where present and not empty.
pub fn opt_text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    at(object, pointer).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// The string at `pointer`, or `otherwise` where it is absent or empty.
pub fn text_or<'a>(object: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    opt_text(object, pointer).unwrap_or(otherwise)
}

/// The integer at `pointer`, or 0.
pub fn int(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The boolean at `pointer`, or false.
pub fn flag(object: &Value, pointer: &str) -> bool {
    at(object, pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The array at `pointer`, or an empty one.
pub fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Number of keys of the map at `pointer`.
pub fn size(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_object).map_or(0, |m| m.len() as i64)
}

/// `k=v,k2=v2` in key order, or `<none>`.
pub fn labels(object: &Value, pointer: &str) -> String {
    let Some(map) = at(object, pointer).and_then(Value::as_object).filter(|m| !m.is_empty()) else {
        return NONE.into();
    };
    let mut pairs: Vec<_> =
        map.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    pairs.sort();
    pairs.join(",")
}

/// A label selector object in the text form of `Selector.String()`, or `<none>`.
pub fn selector(object: &Value, pointer: &str) -> String {
    let Some(found) = at(object, pointer) else { return NONE.into() };
    let mut parts: Vec<(String, String)> = Vec::new();
    if let Some(map) = at(found, "/matchLabels").and_then(Value::as_object) {
        for (key, value) in map {
            parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))));
        }
    }
    for expression in items(found, "/matchExpressions") {
        let key = text(expression, "/key");
        let mut values: Vec<_> =
            items(expression, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let rendered = match text(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        parts.push((key.to_owned(), rendered));
    }
    if parts.is_empty() {
        return NONE.into();
    }
    parts.sort();
    parts.into_iter().map(|(_, rendered)| rendered).collect::<Vec<_>>().join(",")
}

/// Up to `max` entries joined by commas, then ` + N more...`; `empty` where there are none.
pub fn shortened(list: &[String], max: usize, empty: &str) -> String {
    if list.is_empty() {
        return empty.into();
    }
    let shown = list[..list.len().min(max)].join(",");
    if list.len() > max { format!("{shown} + {} more...", list.len() - max) } else { shown }
}

/// Text of an empty cell.
pub const NONE: &str = "<none>";
