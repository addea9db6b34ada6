//! Timestamps in the two precisions Kubernetes stores.

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// RFC 3339 text of whole seconds, UTC, from any RFC 3339 text.
pub(crate) fn seconds_time(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    in_seconds(at)
}

/// RFC 3339 text with six digits of fraction, UTC, from any RFC 3339 text.
pub(crate) fn micro_time(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.to_offset(UtcOffset::UTC);
    in_micros(at)
}

fn in_seconds(at: OffsetDateTime) -> Option<String> {
    at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

fn in_micros(at: OffsetDateTime) -> Option<String> {
    let micros = at.microsecond();
    let seconds = in_seconds(at)?;
    Some(format!("{}.{micros:06}Z", seconds.trim_end_matches('Z')))
}

/// The text of a protobuf timestamp; `None` for one out of range.
pub(crate) fn from_parts(seconds: i64, nanos: i64, micro: bool) -> Option<String> {
    let nanos = u32::try_from(nanos).ok()?;
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanos).ok()?;
    if micro { in_micros(at) } else { in_seconds(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_zone() {
        let text = "2024-01-02T03:04:05.1234567+02:00";
        assert_eq!(seconds_time(text).as_deref(), Some("2024-01-02T01:04:05Z"));
        assert_eq!(micro_time(text).as_deref(), Some("2024-01-02T01:04:05.123456Z"));
        assert_eq!(
            micro_time("2024-01-02T03:04:05Z").as_deref(),
            Some("2024-01-02T03:04:05.000000Z")
        );
        assert_eq!(seconds_time("yesterday"), None);
        assert_eq!(from_parts(i64::MAX, 0, false), None);
        assert_eq!(from_parts(0, -1, false), None);
        assert_eq!(from_parts(1, 0, false).as_deref(), Some("1970-01-01T00:00:01Z"));
    }
}
