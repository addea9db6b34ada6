//! Ages as kubectl prints them (apimachinery `util/duration.HumanDuration`).

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY_HOURS: i64 = 24;
const YEAR_HOURS: i64 = 365 * DAY_HOURS;

/// Text of a missing or unreadable timestamp.
pub const UNKNOWN: &str = "<unknown>";

/// Renders a span of whole seconds: two units at most, fewer digits the longer it is.
pub fn human(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    if seconds < 0 {
        return "0s".into();
    }
    if seconds < 2 * MINUTE {
        return format!("{seconds}s");
    }
    let minutes = seconds / MINUTE;
    if minutes < 10 {
        return two(minutes, "m", seconds % 60, "s");
    }
    if minutes < 3 * 60 {
        return format!("{minutes}m");
    }
    let hours = seconds / HOUR;
    if hours < 8 {
        return two(hours, "h", minutes % 60, "m");
    }
    if hours < 2 * DAY_HOURS {
        return format!("{hours}h");
    }
    let days = hours / DAY_HOURS;
    if hours < 8 * DAY_HOURS {
        return two(days, "d", hours % DAY_HOURS, "h");
    }
    if hours < 2 * YEAR_HOURS {
        return format!("{days}d");
    }
    if hours < 8 * YEAR_HOURS {
        return two(days / 365, "y", days % 365, "d");
    }
    format!("{}y", days / 365)
}

fn two(major: i64, major_unit: &str, minor: i64, minor_unit: &str) -> String {
    if minor == 0 {
        format!("{major}{major_unit}")
    } else {
        format!("{major}{major_unit}{minor}{minor_unit}")
    }
}

/// Parses an RFC 3339 timestamp (`Time` and `MicroTime` alike).
pub fn parse(timestamp: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(timestamp, &Rfc3339).ok()
}

/// Age of an RFC 3339 timestamp at `now`, or `<unknown>`.
pub fn since(timestamp: Option<&str>, now: OffsetDateTime) -> String {
    match timestamp.and_then(parse) {
        Some(then) => human((now - then).whole_seconds()),
        None => UNKNOWN.into(),
    }
}

/// Age of a timestamp that a user wrote: what is none is `<invalid>`, nothing is `<unknown>`.
pub(crate) fn age_of(text: &str, now: OffsetDateTime) -> String {
    match parse(text) {
        _ if text.is_empty() || text == "null" => UNKNOWN.into(),
        Some(then) => human((now - then).whole_seconds()),
        None => "<invalid>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_duration_table() {
        let table = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (1, "1s"),
            (70, "70s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (599, "9m59s"),
            (600, "10m"),
            (47 * 60, "47m"),
            (179 * 60 + 59, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 20 * 60, "3h20m"),
            (8 * 3600, "8h"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (49 * 3600, "2d1h"),
            (8 * 86400, "8d"),
            (364 * 86400, "364d"),
            (729 * 86400, "729d"),
            (730 * 86400, "2y"),
            (731 * 86400, "2y1d"),
            (8 * 365 * 86400, "8y"),
            (9 * 365 * 86400 + 86400, "9y"),
        ];
        for (seconds, text) in table {
            assert_eq!(human(seconds), text, "{seconds} s");
        }
    }

    #[test]
    fn since_handles_micro_time_and_absence() {
        let now = parse("2026-01-02T00:00:10Z").unwrap();
        assert_eq!(since(Some("2026-01-02T00:00:05Z"), now), "5s");
        assert_eq!(since(Some("2026-01-02T00:00:05.250000Z"), now), "4s");
        assert_eq!(since(None, now), "<unknown>");
        assert_eq!(since(Some("yesterday"), now), "<unknown>");
    }
}
