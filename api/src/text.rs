//! Text rendered as Go renders it: users and tests compare these messages byte for byte.

use serde_json::Value;

/// Quotes a string like Go's `%q`.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Renders a bad value as upstream's `field.Error` does: strings quoted, the rest as JSON.
pub(crate) fn bad_value(value: &Value) -> String {
    match value {
        Value::String(s) => quote(s),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

/// Quotes and joins: `"a", "b"`.
pub(crate) fn quoted_list<S: AsRef<str>>(items: &[S]) -> String {
    items.iter().map(|s| quote(s.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        for (input, want) in
            [("a", "\"a\""), ("a\"b", "\"a\\\"b\""), ("a\nb", "\"a\\nb\""), ("\u{1}", "\"\\x01\"")]
        {
            assert_eq!(quote(input), want);
        }
    }
}
