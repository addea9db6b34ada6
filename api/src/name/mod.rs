//! Name syntax: the checks of apimachinery's `util/validation` and generated names.

/// Longest DNS-1123 or DNS-1035 label, bytes.
pub const LABEL_MAX: usize = 63;
/// Longest DNS-1123 subdomain, bytes.
pub const SUBDOMAIN_MAX: usize = 253;
/// Random characters appended by [`generate`].
const SUFFIX_LENGTH: usize = 5;
/// Longest base kept by [`generate`], bytes.
const BASE_MAX: usize = LABEL_MAX - SUFFIX_LENGTH;
/// No vowels and no look-alikes, so that no words appear.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Text of a bad DNS-1123 label.
pub const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// Text of a bad DNS-1123 subdomain.
pub const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// Text of a bad DNS-1035 label.
pub const DNS1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
/// Text of a bad name part of a qualified name.
pub const QUALIFIED_MESSAGE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
/// Text of a bad label value.
pub const LABEL_VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
/// Text of a bad ConfigMap or Secret key.
pub const CONFIG_KEY_MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
/// Text of a bad C identifier.
pub const C_IDENTIFIER_MESSAGE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn label_shape(s: &str) -> bool {
    let b = s.as_bytes();
    matches!((b.first(), b.last()), (Some(f), Some(l)) if lower_alnum(*f) && lower_alnum(*l))
        && b.iter().all(|c| lower_alnum(*c) || *c == b'-')
}

/// Whether this is a DNS-1123 label.
pub fn is_dns1123_label(s: &str) -> bool {
    s.len() <= LABEL_MAX && label_shape(s)
}

/// Whether this is a DNS-1123 subdomain.
pub fn is_dns1123_subdomain(s: &str) -> bool {
    s.len() <= SUBDOMAIN_MAX && s.split('.').all(label_shape)
}

/// Whether this is a DNS-1035 label.
pub fn is_dns1035_label(s: &str) -> bool {
    is_dns1123_label(s) && s.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What is wrong with a DNS-1123 label; empty if nothing.
pub fn dns1123_label(s: &str) -> Vec<String> {
    check(s, LABEL_MAX, label_shape(s), LABEL_MESSAGE)
}

/// What is wrong with a DNS-1123 subdomain; empty if nothing.
pub fn dns1123_subdomain(s: &str) -> Vec<String> {
    check(s, SUBDOMAIN_MAX, s.split('.').all(label_shape), SUBDOMAIN_MESSAGE)
}

/// What is wrong with a DNS-1035 label; empty if nothing.
pub fn dns1035_label(s: &str) -> Vec<String> {
    let shape = label_shape(s) && s.starts_with(|c: char| c.is_ascii_lowercase());
    check(s, LABEL_MAX, shape, DNS1035_MESSAGE)
}

fn check(s: &str, max: usize, shape: bool, message: &str) -> Vec<String> {
    let mut out = Vec::new();
    if s.len() > max {
        out.push(format!("must be no more than {max} bytes"));
    }
    if !shape {
        out.push(message.to_owned());
    }
    out
}

fn qualified_shape(s: &str) -> bool {
    let b = s.as_bytes();
    matches!((b.first(), b.last()), (Some(f), Some(l)) if f.is_ascii_alphanumeric() && l.is_ascii_alphanumeric())
        && b.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// What is wrong with a qualified name (`[prefix/]name`: label keys, resource names).
pub fn qualified_name(s: &str) -> Vec<String> {
    let mut out = Vec::new();
    let (prefix, name) = match s.split('/').collect::<Vec<_>>().as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                QUALIFIED_MESSAGE.trim_start_matches("name part ")
            )];
        }
    };
    match prefix {
        Some("") => out.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            out.extend(dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
        }
        None => {}
    }
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        out.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !qualified_shape(name) {
        out.push(QUALIFIED_MESSAGE.to_owned());
    }
    out
}

/// What is wrong with a label value; empty is fine.
pub fn label_value(s: &str) -> Vec<String> {
    check(s, LABEL_MAX, s.is_empty() || qualified_shape(s), LABEL_VALUE_MESSAGE)
}

/// What is wrong with a key of a ConfigMap or Secret.
pub fn config_key(s: &str) -> Vec<String> {
    let shape = !s.is_empty()
        && s.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    let mut out = check(s, SUBDOMAIN_MAX, shape, CONFIG_KEY_MESSAGE);
    match s {
        "." => out.push("must not be '.'".to_owned()),
        ".." => out.push("must not be '..'".to_owned()),
        _ if s.starts_with("..") => out.push("must not start with '..'".to_owned()),
        _ => {}
    }
    out
}

/// What is wrong with the name of an environment variable: any printable ASCII but `=`.
pub fn env_var(s: &str) -> Vec<String> {
    if s.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if s.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// What is wrong with a port name (IANA service name).
pub fn port_name(s: &str) -> Vec<String> {
    let mut out = Vec::new();
    if s.len() > 15 {
        out.push("must be no more than 15 characters".to_owned());
    }
    if !s.bytes().all(|c| lower_alnum(c) || c == b'-') || s.is_empty() {
        out.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !s.bytes().any(|c| c.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)".to_owned());
    }
    if s.contains("--") {
        out.push("must not contain consecutive hyphens".to_owned());
    }
    if s.starts_with('-') || s.ends_with('-') {
        out.push("must not begin or end with a hyphen".to_owned());
    }
    out
}

/// What is wrong with a name that becomes one path segment (RBAC).
pub fn path_segment(s: &str) -> Vec<String> {
    match s {
        "." => return vec!["may not be '.'".to_owned()],
        ".." => return vec!["may not be '..'".to_owned()],
        _ => {}
    }
    ["/", "%"]
        .into_iter()
        .filter(|c| s.contains(c))
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// `base` plus five random characters; the base is cut so that the name stays a label.
pub fn generate(base: &str) -> String {
    let mut end = base.len().min(BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &base[..end], random_suffix(SUFFIX_LENGTH))
}

/// Random characters of the alphabet of generated names.
pub fn random_suffix(length: usize) -> String {
    (0..length).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect()
}

/// Encodes a number in the alphabet of generated names, as upstream's `SafeEncodeString` does with
/// the decimal form of a hash (pod-template-hash).
pub fn safe_encode(decimal: &str) -> String {
    decimal.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax() {
        let long = "a".repeat(64);
        for (check, good, bad) in [
            (
                dns1123_label as fn(&str) -> Vec<String>,
                vec!["a", "a-b", "1a"],
                vec!["", "-a", "a-", "A", "a.b", &long],
            ),
            (dns1123_subdomain, vec!["a.b", "a", "1.2"], vec!["", ".a", "a..b", "A.b", "a_b"]),
            (dns1035_label, vec!["a", "a1-b"], vec!["1a", "", "a.b"]),
            (
                qualified_name,
                vec!["a", "A_b.c", "example.com/Name"],
                vec!["", "/a", "a/", "a/b/c", "-a", "Ex/a", &long],
            ),
            (label_value, vec!["", "a", "A.b_c"], vec!["a b", "-a", &long]),
            (
                config_key,
                vec!["a.b", "_A", "..a".trim_start_matches('.')],
                vec!["", ".", "..", "..x", "a/b"],
            ),
            (env_var, vec!["A", "a.b-c", "1 x"], vec!["", "a=b", "ü"]),
            (port_name, vec!["http", "a-1"], vec!["", "1", "a--b", "-a", "A", "abcdefghijklmnop"]),
            (path_segment, vec!["system:x", "a b"], vec![".", "..", "a/b", "a%b"]),
        ] {
            for s in good {
                assert!(check(s).is_empty(), "{s}: {:?}", check(s));
            }
            for s in bad {
                assert!(!check(s).is_empty(), "{s} should be refused");
            }
        }
    }

    #[test]
    fn generated_names_stay_labels() {
        let name = generate(&"x".repeat(100));
        assert_eq!(name.len(), LABEL_MAX);
        assert!(is_dns1123_label(&name));
        assert!(generate("web-").starts_with("web-") && generate("web-").len() == 9);
    }
}
