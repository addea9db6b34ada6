//! Kubernetes' named formats, and the escaping of JSON pointers.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use regex::Regex;

use super::{Row, f, given, m, text, url};
use crate::{
    cel::{opaque::Opaque, value::Value},
    name,
};

/// A format: its name and what is wrong with a text.
#[derive(Debug)]
pub struct Named {
    /// As `format.named()` takes it.
    pub name: &'static str,
    check: fn(&str) -> Vec<String>,
}

const N: &str = "kubernetes.NamedFormat";

static FORMATS: &[Named] = &[
    Named { name: "dns1123Label", check: name::dns1123_label },
    Named { name: "dns1123Subdomain", check: name::dns1123_subdomain },
    Named { name: "dns1035Label", check: name::dns1035_label },
    Named { name: "qualifiedName", check: name::qualified_name },
    Named { name: "dns1123LabelPrefix", check: |s| name::dns1123_label(&prefix(s)) },
    Named { name: "dns1123SubdomainPrefix", check: |s| name::dns1123_subdomain(&prefix(s)) },
    Named { name: "dns1035LabelPrefix", check: |s| name::dns1035_label(&prefix(s)) },
    Named { name: "labelValue", check: name::label_value },
    Named { name: "uri", check: |s| told(url::is_uri(s), "must be a valid URI") },
    Named { name: "uuid", check: |s| told(UUID.is_match(s), "does not match the UUID format") },
    Named { name: "byte", check: |s| told(BASE64_STANDARD.decode(s).is_ok(), "invalid base64") },
    Named { name: "date", check: |s| told(is_date(s), "invalid date") },
    Named {
        name: "datetime",
        check: |s| {
            told(s.len() > 10 && super::super::value::timestamp(s).is_some(), "invalid datetime")
        },
    },
];

#[allow(clippy::expect_used, reason = "the pattern is a constant")]
static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
        .expect("a valid pattern")
});

pub(super) const ROWS: &[Row] = &[
    f("format.named", "string", "optional<kubernetes.NamedFormat>", |_, a| {
        Ok(find(text(a, 0)?).map_or(Value::Optional(None), Value::some))
    }),
    f("format.dns1123Label", "", N, |_, _| known("dns1123Label")),
    f("format.dns1123Subdomain", "", N, |_, _| known("dns1123Subdomain")),
    f("format.dns1035Label", "", N, |_, _| known("dns1035Label")),
    f("format.qualifiedName", "", N, |_, _| known("qualifiedName")),
    f("format.dns1123LabelPrefix", "", N, |_, _| known("dns1123LabelPrefix")),
    f("format.dns1123SubdomainPrefix", "", N, |_, _| known("dns1123SubdomainPrefix")),
    f("format.dns1035LabelPrefix", "", N, |_, _| known("dns1035LabelPrefix")),
    f("format.labelValue", "", N, |_, _| known("labelValue")),
    f("format.uri", "", N, |_, _| known("uri")),
    f("format.uuid", "", N, |_, _| known("uuid")),
    f("format.byte", "", N, |_, _| known("byte")),
    f("format.date", "", N, |_, _| known("date")),
    f("format.datetime", "", N, |_, _| known("datetime")),
    m("validate", "kubernetes.NamedFormat,string", "optional<list<string>>", |c, a| {
        given!(a, Value::Opaque(Opaque::Format(format)), _);
        let text = text(a, 1)?;
        c.produce(text.len())?;
        let wrong = (format.check)(text);
        if wrong.is_empty() {
            return Ok(Value::Optional(None));
        }
        Ok(Value::list(wrong.into_iter().map(Value::text).collect()).some())
    }),
    f("jsonpatch.escapeKey", "string", "string", |c, a| {
        let text = text(a, 0)?;
        c.produce(text.len() * 2)?;
        Ok(Value::text(text.replace('~', "~0").replace('/', "~1")))
    }),
];

fn find<'a>(name: &str) -> Option<Value<'a>> {
    let format = FORMATS.iter().find(|f| f.name == name)?;
    Some(Value::Opaque(Opaque::Format(format)))
}

fn known<'a>(name: &str) -> Result<Value<'a>, crate::cel::error::EvalError> {
    find(name).ok_or_else(crate::cel::error::EvalError::no_overload)
}

/// A prefix is checked as if a name's character followed its last dash.
fn prefix(text: &str) -> String {
    text.strip_suffix('-').map_or_else(|| text.to_owned(), |t| format!("{t}a"))
}

fn told(fine: bool, wrong: &str) -> Vec<String> {
    if fine { Vec::new() } else { vec![wrong.to_owned()] }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && super::super::value::timestamp(text).is_some()
}
