//! What an unquoted YAML scalar means to Kubernetes: the rules of YAML 1.1 as go-yaml v2 has them
//! (`resolve.go`), where `yes`, `0644` and `1_000` are no text.

use serde_json::Number;

/// A resolved scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Bool(bool),
    Number(Number),
    /// `<<`: as a key, what follows is spliced in.
    Merge,
    Text,
}

/// Resolves an unquoted scalar that YAML 1.2 takes for text.
pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        "<<" => return Plain::Merge,
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Plain::Text;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits)).map_or(Plain::Text, Plain::Number)
}

/// An integer with a sign and, by prefix, base 2, 8 (also by a leading zero) or 16.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefixed = |prefix: [&str; 2]| prefix.iter().find_map(|p| digits.strip_prefix(p));
    let (base, digits) = if let Some(rest) = prefixed(["0x", "0X"]) {
        (16, rest)
    } else if let Some(rest) = prefixed(["0b", "0B"]) {
        (2, rest)
    } else if let Some(rest) = prefixed(["0o", "0O"]) {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    // The standard parser would take a second sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        i64::try_from(-i128::from(magnitude)).ok().map(Number::from)
    } else {
        Some(magnitude.into())
    }
}

/// A decimal fraction with an optional exponent; nothing else that Rust would take for one.
fn float(text: &str) -> Option<Number> {
    let rest = text.trim_start_matches(['+', '-']);
    let mantissa = rest.split(['e', 'E']).next().unwrap_or_default();
    let plain = text.len() - rest.len() <= 1
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if plain { number(text.parse().ok()?) } else { None }
}

/// A fraction as Go writes it into JSON: whole numbers have no fraction. `None` when not finite.
pub(super) fn number(value: f64) -> Option<Number> {
    /// Where Go's encoder goes over to exponents.
    const PLAIN_BELOW: f64 = 1e21;
    if value.fract() == 0.0 && value.abs() < PLAIN_BELOW {
        if value >= 0.0 && value < u64::MAX as f64 {
            return Some((value as u64).into());
        }
        if value < 0.0 && value >= i64::MIN as f64 {
            return Some((value as i64).into());
        }
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_go_yaml() {
        for (text, want) in [
            ("yes", json!(true)),
            ("No", json!(false)),
            ("on", json!(true)),
            ("y", json!(true)),
            ("0644", json!(420)),
            ("-017", json!(-15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("0o14", json!(12)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("08", json!(8)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("-1.5e1", json!(-15)),
        ] {
            let got = match resolve(text) {
                Plain::Bool(b) => json!(b),
                Plain::Number(n) => n.into(),
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(got, want, "{text}");
        }
        for text in [
            "yEs",
            "yess",
            "oN",
            "1.2.3.4",
            "2001-01-01",
            "1:30",
            "-",
            "+",
            ".",
            "--5",
            "0x",
            "0xg",
            "1e",
            "1e400",
            "0b2",
            "nan",
            "-inf",
            "5Gi",
            "100m",
            "10.0.0.1/8",
            "+-1",
            "",
            "é",
        ] {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
        assert_eq!(resolve("<<"), Plain::Merge);
    }
}
