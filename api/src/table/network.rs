//! Rows of certificate requests.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    duration::human,
    field::{NONE, at, items, opt_text, text},
};

/// `certificates.k8s.io/v1` CertificateSigningRequest.
pub(crate) fn signing_request(object: &Value, now: OffsetDateTime) -> Row {
    let asked = at(object, "/spec/expirationSeconds").and_then(Value::as_i64);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        age(object, now),
        text(object, "/spec/signerName").into(),
        text(object, "/spec/username").into(),
        asked.map_or_else(|| NONE.to_owned(), human).into(),
        signing_state(object).into(),
    ])
}

fn signing_state(object: &Value) -> String {
    let holds =
        |name: &str| items(object, "/status/conditions").iter().any(|c| text(c, "/type") == name);
    let mut state = if holds("Denied") {
        "Denied"
    } else if holds("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if holds("Failed") {
        state.push_str(",Failed");
    }
    if opt_text(object, "/status/certificate").is_some() {
        state.push_str(",Issued");
    }
    state
}
