//! String formats (`apiserver/validation/formats.go`; kube-openapi `pkg/validation/strfmt`). Formats
//! that are not listed here, `int32` among them, say nothing in custom resources.

use std::sync::LazyLock;

use regex::Regex;
use time::{Date, macros::format_description};

/// A format that is checked.
#[derive(Clone)]
pub(crate) struct Format {
    /// As the schema spells it: `date-time` and `datetime` are one format.
    pub(super) name: String,
    check: fn(&str) -> bool,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Format {
    /// The format of a name, if it is checked.
    pub(super) fn named(name: &str) -> Option<Self> {
        let check: fn(&str) -> bool = match name.replace('-', "").as_str() {
            "bsonobjectid" => |s| s.len() == 24 && s.bytes().all(|b| b.is_ascii_hexdigit()),
            "uri" => is_uri,
            "email" => is_email,
            "hostname" => is_hostname,
            "ipv4" => |s| s.parse::<std::net::Ipv4Addr>().is_ok(),
            "ipv6" => |s| s.parse::<std::net::Ipv6Addr>().is_ok(),
            "cidr" => is_cidr,
            "mac" => is_mac,
            "uuid" => |s| is_uuid(s, None),
            "uuid3" => |s| is_uuid(s, Some(b'3')),
            "uuid4" => |s| is_uuid(s, Some(b'4')),
            "uuid5" => |s| is_uuid(s, Some(b'5')),
            "isbn" => |s| is_isbn10(s) || is_isbn13(s),
            "isbn10" => is_isbn10,
            "isbn13" => is_isbn13,
            "creditcard" => is_credit_card,
            "ssn" => |s| SSN.is_match(s),
            "hexcolor" => |s| HEX_COLOR.is_match(s),
            "rgbcolor" => |s| RGB_COLOR.is_match(s),
            "byte" => |s| BASE64.is_match(s),
            "password" => |_| true,
            "date" => is_date,
            "duration" => is_duration,
            "datetime" => is_date_time,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), check })
    }

    /// Whether a text has this format.
    pub(super) fn accepts(&self, text: &str) -> bool {
        (self.check)(text)
    }
}

fn regex(pattern: &str) -> Regex {
    // The patterns are constants of this file, and a test compiles them all.
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

static SSN: LazyLock<Regex> = LazyLock::new(|| regex(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"));
static HEX_COLOR: LazyLock<Regex> = LazyLock::new(|| regex("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"));
static RGB_COLOR: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*";
    regex(&format!(r"^rgb\({part},{part},{part}\)$"))
});
static BASE64: LazyLock<Regex> = LazyLock::new(|| {
    let four = "[A-Za-z0-9+/]{4}";
    regex(&format!("^(?:{four})*(?:[A-Za-z0-9+/]{{2}}==|[A-Za-z0-9+/]{{3}}=|{four})$"))
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$")
});
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
    )
});
static DURATION: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^\s*[0-9]+\s*(ns|nano|nanos|nanosecond|nanoseconds|nanosecs|us|µs|micro|micros|microsecs|microsecond|microseconds|ms|milli|millis|millisecs|millisecond|milliseconds|s|sec|secs|second|seconds|m|min|mins|minute|minutes|h|hr|hour|hours|d|day|days|w|wk|week|weeks)\s*$",
    )
});
static GO_DURATION: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"));

fn is_duration(s: &str) -> bool {
    GO_DURATION.is_match(s) || DURATION.is_match(s)
}

fn is_date(s: &str) -> bool {
    s.len() == 10 && Date::parse(s, format_description!("[year]-[month]-[day]")).is_ok()
}

fn is_date_time(s: &str) -> bool {
    let lower = s.to_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let Some(parts) = TIME.captures(time) else { return false };
    is_date(date) && &parts[1] <= "23" && &parts[2] <= "59" && &parts[3] <= "59"
}

fn is_uri(s: &str) -> bool {
    if s.is_empty() || s.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    let rest = match s.split_once(':') {
        _ if s.starts_with('/') => s,
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => return false,
    };
    let escapes_hold = s.match_indices('%').all(|(at, _)| {
        s.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    let Some(authority) = rest.strip_prefix("//").filter(|_| !s.starts_with("///")) else {
        return escapes_hold;
    };
    let host = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let port = match host.rfind(']') {
        Some(end) => host[end + 1..].strip_prefix(':'),
        None => host.rsplit_once(':').map(|(_, port)| port),
    };
    let port_holds = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()));
    escapes_hold
        && port_holds
        && !host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}'])
}

fn is_scheme(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_email(s: &str) -> bool {
    let s = s.trim();
    let address = match s.strip_suffix('>').and_then(|s| s.rsplit_once('<')) {
        Some((_, address)) => address,
        None => s,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let quoted = local.len() >= 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || is_dot_atom(local)) && (literal || is_dot_atom(domain))
}

fn is_dot_atom(s: &str) -> bool {
    s.split('.').all(|atom| {
        !atom.is_empty()
            && atom.chars().all(|c| {
                c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c)
            })
    })
}

fn is_hostname(s: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphabetic());
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| inner(c) || c == '-')
            && label.starts_with(inner)
            && label.ends_with(inner)
    };
    let Some((_, last)) = s.rsplit_once('.') else { return label(s) };
    let top = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic);
    s.len() <= 255 && top && s.split('.').all(label)
}

fn is_cidr(s: &str) -> bool {
    let Some((address, bits)) = s.split_once('/') else { return false };
    let limit = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= limit)
}

fn is_mac(s: &str) -> bool {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let grouped = |separator: char, digits: usize, counts: &[usize]| {
        let parts: Vec<&str> = s.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|p| hex(p, digits))
    };
    grouped(':', 2, &[6, 8, 20]) || grouped('-', 2, &[6, 8, 20]) || grouped('.', 4, &[3, 4, 10])
}

fn is_uuid(s: &str, version: Option<u8>) -> bool {
    let mut rest = s;
    for (i, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        rest = if i > 0 { rest.strip_prefix('-').unwrap_or(rest) } else { rest };
        let Some((part, left)) = rest.split_at_checked(digits) else { return false };
        let variant = matches!(version, Some(b'4' | b'5')) && i == 3;
        let first = part.as_bytes()[0].to_ascii_lowercase();
        if !part.bytes().all(|b| b.is_ascii_hexdigit())
            || (i == 2 && version.is_some_and(|v| v != first))
            || (variant && !matches!(first, b'8' | b'9' | b'a' | b'b'))
        {
            return false;
        }
        rest = left;
    }
    rest.is_empty()
}

fn isbn_digits(s: &str) -> Vec<u32> {
    let bare = s.chars().filter(|c| *c != '-' && !c.is_whitespace());
    bare.map(|c| if c == 'X' { 10 } else { c.to_digit(10).unwrap_or(99) }).collect()
}

fn is_isbn10(s: &str) -> bool {
    let digits = isbn_digits(s);
    let sum: u32 = digits.iter().zip(1..).map(|(d, weight)| d * weight).sum();
    digits.len() == 10
        && digits[..9].iter().all(|d| *d < 10)
        && digits[9] <= 10
        && sum.is_multiple_of(11)
}

fn is_isbn13(s: &str) -> bool {
    let digits = isbn_digits(s);
    let weights = [1, 3].into_iter().cycle();
    let sum: u32 = digits.iter().zip(weights).map(|(d, weight)| d * weight).sum();
    digits.len() == 13 && digits.iter().all(|d| *d < 10) && sum.is_multiple_of(10)
}

fn is_credit_card(s: &str) -> bool {
    let digits: String = s.chars().filter(char::is_ascii_digit).collect();
    let luhn: u32 = digits
        .bytes()
        .rev()
        .map(|b| u32::from(b - b'0'))
        .zip([1, 2].into_iter().cycle())
        .map(|(d, times)| d * times)
        .map(|d| if d > 9 { d - 9 } else { d })
        .sum();
    CARD.is_match(&digits) && luhn.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        for (format, good, bad) in [
            ("bsonobjectid", &["507f1f77bcf86cd799439011"][..], &["507f", ""][..]),
            (
                "uri",
                &["http://a.b/c?d", "/a", "mailto:x@y", "http://[::1]:80/"],
                &["", "a", "http://a b", "http://a:b/", "http://a/%zz"],
            ),
            ("email", &["a@b.c", "A <a@b.c>", "\"x y\"@b"], &["a", "a@", "@b", "a..b@c"]),
            ("hostname", &["a", "a-b.example.com", "1a"], &["", "-a", "a.", "a_b", "a.b.1"]),
            ("ipv4", &["1.2.3.4"], &["1.2.3", "::1", "01.2.3.4"]),
            ("ipv6", &["::1", "2001:db8::ffff"], &["1.2.3.4", "x"]),
            ("cidr", &["1.2.3.0/24", "::/0"], &["1.2.3.4", "1.2.3.4/33", "1.2.3.4/+1"]),
            ("mac", &["01:23:45:67:89:ab", "0123.4567.89ab"], &["01:23", "01:23:45:67:89:zz"]),
            (
                "uuid",
                &["f47ac10b-58cc-0372-8567-0e02b2c3d479", "F47AC10B58CC037285670E02B2C3D479"],
                &["f47ac10b", "é47ac10b-58cc-0372-8567-0e02b2c3d479"],
            ),
            (
                "uuid4",
                &["f47ac10b-58cc-4372-a567-0e02b2c3d479"],
                &["f47ac10b-58cc-0372-8567-0e02b2c3d479"],
            ),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751044", "978"]),
            ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112", "1"]),
            ("ssn", &["111-11-1111"], &["11-1"]),
            ("hexcolor", &["#fff", "FFFFFF"], &["#ff", "ggg"]),
            ("rgbcolor", &["rgb(255, 0, 1)"], &["rgb(256,0,0)", "rgb(1,2)"]),
            ("byte", &["YWJj", "YQ=="], &["", "a", "YWJ"]),
            ("password", &["", "x"], &[]),
            ("date", &["2006-01-02"], &["2006-13-02", "2006-02-30", "x", "2006-1-2"]),
            ("duration", &["22 ns", "1h30m", "1.5s", "0", "3 weeks"], &["", "1", "1 fortnight"]),
            (
                "date-time",
                &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
                &["2014-12-15", "2014-12-15T25:00:00Z", "2014-12-15T19:30:20"],
            ),
        ] {
            let format = Format::named(format).unwrap();
            for text in good {
                assert!(format.accepts(text), "{format:?} {text}");
            }
            for text in bad {
                assert!(!format.accepts(text), "{format:?} {text}");
            }
        }
        assert!(Format::named("int32").is_none() && Format::named("nonsense").is_none());
    }
}
