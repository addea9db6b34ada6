//! Kubernetes' URL library: absolute URLs and absolute paths, taken apart as Go's
//! `url.ParseRequestURI` does.

use std::{collections::BTreeMap, net::Ipv6Addr, sync::Arc};

use super::{Row, f, given, m, text};
use crate::cel::{
    error::failed,
    opaque::Opaque,
    value::{Key, Map, Value},
};

/// A URL in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

const U: &str = "kubernetes.URL";

pub(super) const ROWS: &[Row] = &[
    f("url", "string", U, |c, a| {
        let text = text(a, 0)?;
        c.produce(text.len())?;
        match parse(text) {
            Some(url) => Ok(Value::Opaque(Opaque::Url(Arc::new(url)))),
            None => failed(format!(
                "URL parse error during conversion from string: parse {text:?}: invalid URI for request"
            )),
        }
    }),
    f("isURL", "string", "bool", |c, a| {
        let text = text(a, 0)?;
        c.produce(text.len())?;
        Ok(Value::Bool(parse(text).is_some()))
    }),
    m("getScheme", U, "string", |_, a| with(a, |u| Value::text(u.scheme.as_str()))),
    m("getHost", U, "string", |_, a| with(a, |u| Value::text(u.host.as_str()))),
    m("getHostname", U, "string", |_, a| with(a, |u| Value::text(host_and_port(&u.host).0))),
    m("getPort", U, "string", |_, a| with(a, |u| Value::text(host_and_port(&u.host).1))),
    m("getEscapedPath", U, "string", |_, a| with(a, |u| Value::text(u.path.as_str()))),
    m("getQuery", U, "map<string,list<string>>", |c, a| {
        given!(a, Value::Opaque(Opaque::Url(url)));
        c.work(url.query.len())?;
        Ok(query(&url.query))
    }),
];

fn with<'a>(
    args: &[Value<'a>],
    take: fn(&Url) -> Value<'a>,
) -> Result<Value<'a>, crate::cel::error::EvalError> {
    given!(args, Value::Opaque(Opaque::Url(url)));
    Ok(take(url))
}

fn parse(text: &str) -> Option<Url> {
    if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return None;
    }
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    let query = query.to_owned();
    if before.starts_with('/') {
        valid_escapes(before)?;
        return Some(Url { path: before.to_owned(), query, ..Url::default() });
    }
    let (scheme, rest) = before.split_once(':')?;
    let mut chars = scheme.chars();
    let first = chars.next()?;
    let rest_ok = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !first.is_ascii_alphabetic() || !rest_ok {
        return None;
    }
    let rest = rest.strip_prefix("//").or_else(|| rest.starts_with('/').then_some(rest))?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    valid_host(host)?;
    valid_escapes(path)?;
    let path = path.replace(' ', "%20");
    Some(Url { scheme: scheme.to_ascii_lowercase(), host: host.to_owned(), path, query })
}

fn valid_escapes(text: &str) -> Option<()> {
    let bytes = text.as_bytes();
    let whole =
        |i: usize| bytes.get(i + 1..i + 3).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    let fine = bytes.iter().enumerate().all(|(i, b)| *b != b'%' || whole(i));
    fine.then_some(())
}

fn valid_host(host: &str) -> Option<()> {
    let (name, port) = host_and_port(host);
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.split_once(']')?.0;
        let address = inner.split_once("%25").map_or(inner, |(a, _)| a);
        address.parse::<Ipv6Addr>().ok()?;
    } else if host.matches(':').count() > 1
        || name.contains([' ', '"', '<', '>', '[', ']', '\\', '^', '`', '{', '|', '}'])
    {
        return None;
    }
    port.bytes().all(|b| b.is_ascii_digit()).then_some(())
}

fn host_and_port(host: &str) -> (&str, &str) {
    if let Some(inner) = host.strip_prefix('[') {
        let (name, rest) = inner.split_once(']').unwrap_or((inner, ""));
        return (name, rest.strip_prefix(':').unwrap_or(rest));
    }
    host.rsplit_once(':').unwrap_or((host, ""))
}

fn query<'a>(text: &str) -> Value<'a> {
    let mut pairs: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for part in text.split('&').filter(|p| !p.is_empty() && !p.contains(';')) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        pairs.entry(decode(key)).or_default().push(Value::text(decode(value)));
    }
    let map = pairs.into_iter().map(|(k, v)| (Key::String(k.into()), Value::list(v))).collect();
    Value::Map(Map::Owned(Arc::new(map), None))
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|d| u8::from_str_radix(d, 16).ok()))
            .flatten();
        match (bytes[at], escaped) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a text is an absolute URL or path.
pub(super) fn is_uri(text: &str) -> bool {
    parse(text).is_some()
}
