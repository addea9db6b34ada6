//! Points in time as Kubernetes writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since the Unix epoch. Decisions get "now" as such a value and never ask a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Time(i64);

const MICROS: i64 = 1_000_000;

impl From<SystemTime> for Time {
    /// What an actor's clock shows; pure decisions are handed the result.
    fn from(wall: SystemTime) -> Self {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Time {
    /// From seconds since the epoch.
    #[cfg(test)]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * MICROS)
    }

    /// The wall clock.
    #[cfg(test)]
    pub fn now() -> Self {
        std::time::SystemTime::now().into()
    }

    /// Reads an RFC 3339 text with any fraction and offset.
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1000).ok().map(Self)
    }

    /// Second precision and `Z`: the form of `metav1.Time`.
    pub fn rfc3339(self) -> String {
        let at = self.date_time();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }

    /// Six digits of fraction: the form of `metav1.MicroTime`.
    #[cfg(test)]
    pub fn rfc3339_micro(self) -> String {
        let mut text = self.rfc3339();
        text.pop();
        format!("{text}.{:06}Z", self.0.rem_euclid(MICROS))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since the epoch.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(MICROS)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// For what reads times of objects with the `time` crate; whole seconds.
    pub fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("bad time {text:?}")))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let at = Time::parse("2026-01-02T03:04:05.250Z").unwrap();
        assert_eq!(at.rfc3339(), "2026-01-02T03:04:05Z");
        assert_eq!(at.rfc3339_micro(), "2026-01-02T03:04:05.250000Z");
        assert_eq!((at + Duration::from_secs(60)).rfc3339(), "2026-01-02T03:05:05Z");
        assert_eq!(Time::parse("2026-01-02T04:04:05+01:00"), Time::parse("2026-01-02T03:04:05Z"));
        assert_eq!(Time::parse("yesterday"), None);
    }
}
