//! The certificates a process uses, how each is renewed, and how that goes: what the keeper works
//! through, and what `/readyz` and `/metrics` tell of it.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use time::OffsetDateTime;

use super::{Clock, Credential, Grade, Issued, Validity};

/// Gets a new certificate and puts it on disk; the error is for a log.
pub type Renew = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<Issued>> + Send + Sync>;

/// One certificate in use.
pub struct Kept {
    /// What it is called in logs and metrics.
    pub name: &'static str,
    /// Where handshakes take it from.
    pub credential: Arc<Credential>,
    pub(super) renew: Renew,
    renewals: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<String>,
}

impl Kept {
    /// A certificate that `renew` renews.
    pub fn new(name: &'static str, credential: Arc<Credential>, renew: Renew) -> Self {
        Self {
            name,
            credential,
            renew,
            renewals: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    /// How much life is left in it.
    pub fn grade(&self, now: OffsetDateTime) -> Grade {
        self.credential.validity().grade(now, self.credential.seed())
    }

    pub(super) fn succeeded(&self) {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.last_error.lock().clear();
    }

    pub(super) fn failed(&self, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        error.clone_into(&mut self.last_error.lock());
    }

    /// Renewals that succeeded and that failed.
    pub fn counts(&self) -> (u64, u64) {
        (self.renewals.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// Why the last try failed; empty when it did not.
    pub fn last_error(&self) -> String {
        self.last_error.lock().clone()
    }
}

/// All certificates of a process.
pub struct Roster {
    /// Those that are renewed.
    pub kept: Vec<Kept>,
    /// Authorities: nothing renews them, but their end should be seen coming.
    pub authorities: Vec<(&'static str, Validity)>,
    /// What validity is measured by.
    pub clock: Clock,
}

impl Roster {
    /// `Err` names every certificate that expires soon or has expired.
    ///
    /// # Errors
    /// A text for `/readyz`.
    pub fn check(&self) -> Result<(), String> {
        let now = self.clock.now();
        let mut text = String::new();
        for kept in self.kept.iter().filter(|k| k.grade(now) >= Grade::Ending) {
            let _ = write!(
                text,
                "certificate {} expires at {} and could not be renewed: {}; ",
                kept.name,
                kept.credential.validity().not_after,
                kept.last_error()
            );
        }
        if text.is_empty() { Ok(()) } else { Err(text.trim_end_matches("; ").to_string()) }
    }

    /// Appends Prometheus text.
    pub fn metrics(&self, out: &mut String) {
        let now = self.clock.now();
        let name = "kabuki_certificate_expiration_seconds";
        let _ = writeln!(out, "# HELP {name} Seconds until a certificate in use expires.");
        let _ = writeln!(out, "# TYPE {name} gauge");
        let kept = self.kept.iter().map(|k| (k.name, k.credential.validity()));
        for (certificate, validity) in kept.chain(self.authorities.iter().copied()) {
            let left = (validity.not_after - now).whole_seconds();
            let _ = writeln!(out, "{name}{{certificate=\"{certificate}\"}} {left}");
        }
        let name = "kabuki_certificate_renewals_total";
        let _ = writeln!(out, "# HELP {name} Tries to renew a certificate.");
        let _ = writeln!(out, "# TYPE {name} counter");
        for kept in &self.kept {
            let (renewed, failed) = kept.counts();
            let certificate = kept.name;
            let _ = writeln!(
                out,
                "{name}{{certificate=\"{certificate}\",result=\"success\"}} {renewed}\n\
                 {name}{{certificate=\"{certificate}\",result=\"error\"}} {failed}"
            );
        }
    }
}
