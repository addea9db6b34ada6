//! The clock certificates are issued and verified by.

use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

/// Tells the wall-clock time; a test can put in one that is ahead.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub fn() -> OffsetDateTime);

impl Clock {
    /// The time now.
    pub fn now(self) -> OffsetDateTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(OffsetDateTime::now_utc)
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().unix_timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
