//! From when to when a certificate holds, and when it is time for the next one. Pure.

use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{PkiError, parse_certs};

/// How far a certificate's validity reaches back, so that a joining machine whose clock is slow
/// still accepts it.
pub(super) const BACKDATE: Duration = Duration::hours(1);
/// A certificate is renewed after this share of its lifetime …
const RENEW_AFTER: f64 = 2.0 / 3.0;
/// … give or take this share, so that the machines of a cluster do not all ask at once.
const JITTER: f64 = 1.0 / 15.0;
/// Expiry is imminent in the last part of the lifetime, this share of it …
const ENDING_SHARE: i32 = 10;
/// … but no more than this.
const ENDING_MAX: Duration = Duration::days(1);

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// It is not valid before this.
    pub not_before: OffsetDateTime,
    /// It is not valid after this.
    pub not_after: OffsetDateTime,
}

/// How much life is left in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Nothing to do.
    Fresh,
    /// Time to renew it.
    Due,
    /// It should have been renewed long ago and expires soon.
    Ending,
    /// Nobody accepts it any more.
    Expired,
}

impl Validity {
    /// The validity of a certificate issued at `now` for `lifetime`, by an authority that itself
    /// ends at `authority_end`.
    pub fn issued(now: OffsetDateTime, lifetime: Duration, authority_end: OffsetDateTime) -> Self {
        Self { not_before: now - BACKDATE, not_after: authority_end.min(now + lifetime) }
    }

    /// Reads it from the first certificate of a PEM text.
    ///
    /// # Errors
    /// When there is no certificate in it.
    pub fn of_pem(what: &str, pem: &str) -> Result<Self, PkiError> {
        Self::of_der(what, &parse_certs(what, pem)?[0])
    }

    /// Reads it from a DER certificate.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn of_der(what: &str, der: &[u8]) -> Result<Self, PkiError> {
        let failed = |detail: String| PkiError::Pem { what: what.to_string(), detail };
        let (_, cert) = X509Certificate::from_der(der).map_err(|e| failed(e.to_string()))?;
        let time = |seconds: i64| {
            OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| failed(e.to_string()))
        };
        Ok(Self {
            not_before: time(cert.validity().not_before.timestamp())?,
            not_after: time(cert.validity().not_after.timestamp())?,
        })
    }

    /// How long it was meant to be used: the time it reaches back does not count.
    pub fn lifetime(&self) -> Duration {
        let whole = self.not_after - self.not_before;
        if whole > BACKDATE { whole - BACKDATE } else { whole }
    }

    /// When to renew it. `seed` should differ between certificates; the same one gives the same time.
    pub fn renew_at(&self, seed: u64) -> OffsetDateTime {
        let jitter = (seed as f64 / u64::MAX as f64 * 2.0 - 1.0) * JITTER;
        self.not_after - self.lifetime() * (1.0 - RENEW_AFTER - jitter)
    }

    /// How much life is left at `now`. One that is not valid yet (the clock was set back) is due.
    pub fn grade(&self, now: OffsetDateTime, seed: u64) -> Grade {
        let ending = (self.lifetime() / ENDING_SHARE).min(ENDING_MAX);
        if now > self.not_after {
            Grade::Expired
        } else if now > self.not_after - ending {
            Grade::Ending
        } else if now >= self.renew_at(seed) || now < self.not_before {
            Grade::Due
        } else {
            Grade::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2030-01-01 00:00 UTC);
    const YEAR: Duration = Duration::days(365);

    #[test]
    fn grades_follow_the_lifetime() {
        let validity = Validity::issued(NOW, YEAR, NOW + YEAR * 10);
        let middle = u64::MAX / 2;
        for (after, want) in [
            (Duration::ZERO, Grade::Fresh),
            (Duration::days(242), Grade::Fresh),
            (Duration::days(244), Grade::Due),
            (Duration::days(363), Grade::Due),
            (YEAR - Duration::hours(1), Grade::Ending),
            (YEAR + Duration::seconds(1), Grade::Expired),
            (-Duration::hours(2), Grade::Due),
        ] {
            assert_eq!(validity.grade(NOW + after, middle), want, "{after}");
        }
    }

    #[test]
    fn short_lives_are_graded_by_their_own_length() {
        let validity = Validity::issued(NOW, Duration::seconds(12), NOW + YEAR);
        assert_eq!(validity.lifetime(), Duration::seconds(12));
        for seed in [0, u64::MAX / 3, u64::MAX] {
            let at = validity.renew_at(seed) - NOW;
            assert!(at >= Duration::seconds(7) && at <= Duration::seconds(9), "{seed}: {at}");
        }
        assert_ne!(validity.renew_at(0), validity.renew_at(u64::MAX));
        assert_eq!(validity.grade(NOW + Duration::seconds(11), 0), Grade::Ending);
    }

    #[test]
    fn nothing_outlives_its_authority() {
        let validity = Validity::issued(NOW, YEAR, NOW + Duration::days(10));
        assert_eq!(validity.not_after, NOW + Duration::days(10));
    }
}
