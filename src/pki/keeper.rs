//! The actor that renews certificates while they are in use.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Handler, Message};
use kabuki_actors::{
    kernel::{Ctx, Performer, TimerHandle},
    recreate_on_restart,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Grade, Issued, Kept, Roster, Validity};

/// The clock of the machine may be set: never sleep longer than this on what it said.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Shortest pause between two looks.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// How long one renewal may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);
/// Pauses between failed tries: at least this …
const RETRY_MIN: Duration = Duration::from_millis(250);
/// … the first one a thousandth of the lifetime, but at most this, then doubled …
const RETRY_FIRST_MAX: Duration = Duration::from_secs(5);
/// … up to a twenty-fourth of the lifetime, but at most this.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What the keeper is made from.
#[derive(Clone)]
pub struct CertificateKeeperArgs {
    /// The certificates.
    pub roster: Arc<Roster>,
}

/// Look whether one is due.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Look;

/// What the keeper knows of one certificate beyond the roster.
#[derive(Clone, Default)]
struct Progress {
    /// A renewal is under way.
    busy: bool,
    /// Failures in a row.
    failed: u32,
    /// Not before this.
    retry_at: Option<Instant>,
}

/// Renews certificates when two thirds of their lives are over, and again until it succeeds.
pub struct CertificateKeeper {
    roster: Arc<Roster>,
    progress: Vec<Progress>,
    /// The one pending [`Look`].
    timer: Option<TimerHandle>,
}

impl Performer for CertificateKeeper {
    type Args = CertificateKeeperArgs;
    const MAILBOX: usize = 16;

    fn create(args: &Self::Args) -> Self {
        let progress = vec![Progress::default(); args.roster.kept.len()];
        Self { roster: Arc::clone(&args.roster), progress, timer: None }
    }

    fn inspect(&self) -> Value {
        let now = self.roster.clock.now();
        let certificates = self.roster.kept.iter().zip(&self.progress).map(|(kept, progress)| {
            let validity = kept.credential.validity();
            let (renewals, failures) = kept.counts();
            json!({
                "name": kept.name,
                "expires": validity.not_after.to_string(),
                "renewAt": validity.renew_at(kept.credential.seed()).to_string(),
                "grade": format!("{:?}", kept.grade(now)),
                "busy": progress.busy,
                "renewals": renewals,
                "failures": failures,
                "lastError": kept.last_error(),
            })
        });
        json!({"certificates": certificates.collect::<Vec<_>>()})
    }
}

recreate_on_restart!(CertificateKeeper);

impl Actor for CertificateKeeper {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.look_in(LOOK_MIN, ctx);
    }
}

impl Handler<Look> for CertificateKeeper {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Ctx<Self>) {
        let (now, wall) = (ctx.now(), self.roster.clock.now());
        let mut pause = LOOK_MAX;
        for index in 0..self.progress.len() {
            let kept = &self.roster.kept[index];
            let progress = &mut self.progress[index];
            if progress.busy {
                // Its end looks again.
            } else if kept.grade(wall) == Grade::Fresh {
                pause = pause.min(until(wall, renew_at(kept)));
            } else if let Some(at) = progress.retry_at.filter(|at| *at > now) {
                pause = pause.min(at - now);
            } else {
                progress.busy = true;
                let renewal = (kept.renew)();
                ctx.offload(
                    async move { tokio::time::timeout(RENEW_TIMEOUT, renewal).await },
                    move |this: &mut Self, ended, ctx| {
                        let result = ended.unwrap_or_else(|_| {
                            Err(anyhow::anyhow!("no answer within {RENEW_TIMEOUT:?}"))
                        });
                        this.settle(index, result, ctx);
                    },
                );
            }
        }
        self.look_in(pause.max(LOOK_MIN), ctx);
    }
}

impl CertificateKeeper {
    fn look_in(&mut self, pause: Duration, ctx: &mut Ctx<Self>) {
        if let Some(older) = self.timer.replace(ctx.after(pause, Look)) {
            older.cancel();
        }
    }

    /// Takes a new certificate into use, or says why there is none.
    fn settle(&mut self, index: usize, result: anyhow::Result<Issued>, ctx: &mut Ctx<Self>) {
        let kept = &self.roster.kept[index];
        let progress = &mut self.progress[index];
        progress.busy = false;
        let wall = self.roster.clock.now();
        let name = kept.name;
        match result.and_then(|issued| take(kept, issued, wall)) {
            Ok(()) => {
                *progress = Progress::default();
                kept.succeeded();
                let expires = kept.credential.validity().not_after;
                tracing::info!(certificate = name, %expires, "certificate renewed");
            }
            Err(error) => {
                let error = format!("{error:#}");
                kept.failed(&error);
                let pause = retry_pause(kept.credential.validity(), progress.failed);
                progress.failed = progress.failed.saturating_add(1);
                progress.retry_at = Some(ctx.now() + pause);
                let expires = kept.credential.validity().not_after;
                if kept.grade(wall) >= Grade::Ending {
                    tracing::error!(
                        certificate = name, %expires, error,
                        "a certificate expires and cannot be renewed: nobody will accept it then"
                    );
                } else {
                    tracing::warn!(certificate = name, %expires, error, "certificate not renewed");
                }
            }
        }
        self.look_in(LOOK_MIN, ctx);
    }
}

fn take(kept: &Kept, issued: Issued, now: OffsetDateTime) -> anyhow::Result<()> {
    let validity = Validity::of_pem("the new certificate", &issued.cert_pem)?;
    anyhow::ensure!(
        now <= validity.not_after && now >= validity.not_before,
        "the new certificate is valid from {} to {}, and it is {now}: set the clocks right",
        validity.not_before,
        validity.not_after
    );
    kept.credential.replace(issued)?;
    Ok(())
}

fn renew_at(kept: &Kept) -> OffsetDateTime {
    kept.credential.validity().renew_at(kept.credential.seed())
}

fn until(now: OffsetDateTime, at: OffsetDateTime) -> Duration {
    (at - now).try_into().unwrap_or_default()
}

/// How long to wait after the `failed`th failure in a row, counted from 0.
fn retry_pause(validity: Validity, failed: u32) -> Duration {
    let lifetime: Duration = validity.lifetime().try_into().unwrap_or_default();
    let first = (lifetime / 1_000).clamp(RETRY_MIN, RETRY_FIRST_MAX);
    let last = (lifetime / 24).clamp(RETRY_MIN, RETRY_MAX);
    first.saturating_mul(2_u32.saturating_pow(failed)).min(last)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    use kabuki_actors::kernel::{ChildSpec, TestKit};

    use super::{
        super::{Authority, Clock, Credential, Policy, Renew, Subject},
        *,
    };

    /// How far this module's clock is ahead, seconds. Tests of one process that use it must not
    /// run at once: there is one.
    static AHEAD: AtomicI64 = AtomicI64::new(0);

    fn clock() -> Clock {
        Clock(|| OffsetDateTime::now_utc() + time::Duration::seconds(AHEAD.load(Ordering::Relaxed)))
    }

    fn roster(works: &Arc<AtomicBool>) -> Arc<Roster> {
        let mut authority = Authority::create("test-ca").unwrap();
        authority.set_policy(Policy { clock: clock(), ..Policy::default() });
        let authority = Arc::new(authority);
        let subject = Subject { common_name: "a".into(), client: true, ..Subject::default() };
        let credential = Credential::new(authority.issue(&subject).unwrap(), "").unwrap();
        let works = works.clone();
        let renew: Renew = Arc::new(move || {
            let (authority, subject, works) = (authority.clone(), subject.clone(), works.clone());
            Box::pin(async move {
                anyhow::ensure!(works.load(Ordering::Relaxed), "nobody answers");
                Ok(authority.issue(&subject)?)
            })
        });
        let kept = vec![Kept::new("test", credential, renew)];
        Arc::new(Roster { kept, authorities: Vec::new(), clock: clock() })
    }

    #[test]
    fn a_certificate_is_renewed_when_due_and_until_it_succeeds() {
        TestKit::run(|kit| async move {
            let works = Arc::new(AtomicBool::new(true));
            let roster = roster(&works);
            let args = CertificateKeeperArgs { roster: roster.clone() };
            kit.kernel().root().start::<CertificateKeeper>(
                "certificates",
                args,
                ChildSpec::default(),
            );
            let first = roster.kept[0].credential.validity();
            tokio::time::sleep(LOOK_MAX * 4).await;
            assert_eq!(roster.kept[0].counts(), (0, 0), "a fresh certificate is left alone");

            AHEAD.store(300 * 86_400, Ordering::Relaxed);
            tokio::time::sleep(LOOK_MAX * 2).await;
            assert_eq!(roster.kept[0].counts(), (1, 0));
            assert!(roster.kept[0].credential.validity().not_after > first.not_after);
            roster.check().unwrap();

            works.store(false, Ordering::Relaxed);
            AHEAD.store(700 * 86_400, Ordering::Relaxed);
            tokio::time::sleep(LOOK_MAX * 2).await;
            let (_, failures) = roster.kept[0].counts();
            assert!(failures >= 1);
            let said = roster.check().unwrap_err();
            assert!(said.contains("test") && said.contains("nobody answers"), "{said}");
            let mut text = String::new();
            roster.metrics(&mut text);
            assert!(text.contains("seconds{certificate=\"test\"} -"), "{text}");
            tokio::time::sleep(Duration::from_secs(7 * 86_400)).await;
            let (_, failures) = roster.kept[0].counts();
            assert!((100..300).contains(&failures), "it goes on, at long pauses: {failures}");

            works.store(true, Ordering::Relaxed);
            tokio::time::sleep(RETRY_MAX + LOOK_MAX).await;
            assert_eq!(roster.kept[0].counts().0, 2);
            roster.check().unwrap();
        });
    }

    #[test]
    fn pauses_grow_and_fit_the_lifetime() {
        let now = OffsetDateTime::now_utc();
        let of = |lifetime| Validity::issued(now, lifetime, now + time::Duration::days(3650));
        let short = of(time::Duration::seconds(12));
        assert_eq!(retry_pause(short, 0), Duration::from_millis(250));
        assert_eq!(retry_pause(short, 30), Duration::from_millis(500));
        let year = of(time::Duration::days(365));
        assert_eq!(retry_pause(year, 0), RETRY_FIRST_MAX);
        assert_eq!(retry_pause(year, 40), RETRY_MAX);
    }
}
