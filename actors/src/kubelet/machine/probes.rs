//! When probes run and what their results mean.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{Container as Spec, Probe},
    jiff::{SignedDuration, Timestamp},
};

use super::later;

/// Until a readiness or startup probe has succeeded once, it is asked again after this, doubling up
/// to its own period. Such early failures do not count: the first look at a program that is still
/// starting must not cost a whole period.
const EARLY: Duration = Duration::from_millis(25);

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Holds the others back until it succeeds.
    Startup,
    /// Decides `ready`.
    Readiness,
    /// Restarts the container.
    Liveness,
}

impl ProbeKind {
    /// As in messages: `Startup`, `Readiness`, `Liveness`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// What one run of a probe said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It succeeded.
    Success,
    /// It failed, and how.
    Failure(String),
    /// It could not be run at all; changes nothing.
    Unknown(String),
}

/// What a result led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing to do.
    Same,
    /// The threshold of failures was reached.
    Failed,
}

/// One probe of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeRun {
    spec: Probe,
    next_at: Timestamp,
    early: Option<Duration>,
    in_flight: bool,
    successes: i32,
    failures: i32,
    passed: bool,
}

impl ProbeRun {
    fn new(kind: ProbeKind, spec: &Probe, started: Timestamp) -> Self {
        let delay = i64::from(spec.initial_delay_seconds.unwrap_or(0));
        Self {
            spec: spec.clone(),
            next_at: later(started, delay),
            early: (kind != ProbeKind::Liveness).then_some(EARLY),
            in_flight: false,
            successes: 0,
            failures: 0,
            // A container lives until its liveness probe says otherwise.
            passed: kind == ProbeKind::Liveness,
        }
    }

    fn period(&self) -> Duration {
        let seconds = self.spec.period_seconds.filter(|p| *p > 0).unwrap_or(10);
        Duration::from_secs(u64::from(seconds.unsigned_abs()))
    }

    fn take(&mut self, result: &ProbeOutcome, now: Timestamp) -> Turn {
        self.in_flight = false;
        let early = self.early.filter(|e| *e < self.period());
        self.next_at = add(now, early.unwrap_or_else(|| self.period()));
        match result {
            ProbeOutcome::Unknown(_) => Turn::Same,
            ProbeOutcome::Success => {
                self.early = None;
                self.next_at = add(now, self.period());
                self.failures = 0;
                self.successes += 1;
                self.passed |= self.successes >= self.spec.success_threshold.unwrap_or(1).max(1);
                Turn::Same
            }
            ProbeOutcome::Failure(_) if early.is_some() => {
                self.early = early.map(|e| e * 2);
                Turn::Same
            }
            ProbeOutcome::Failure(_) => {
                self.early = None;
                self.successes = 0;
                self.failures += 1;
                if self.failures < self.spec.failure_threshold.unwrap_or(3).max(1) {
                    return Turn::Same;
                }
                self.passed = false;
                Turn::Failed
            }
        }
    }
}

fn add(at: Timestamp, duration: Duration) -> Timestamp {
    let signed = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    at.saturating_add(signed).unwrap_or(Timestamp::MAX)
}

/// The probes of one run of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probes {
    startup: Option<ProbeRun>,
    readiness: Option<ProbeRun>,
    liveness: Option<ProbeRun>,
}

impl Probes {
    /// Fresh probes of a run that began at `started`.
    pub fn start(spec: &Spec, started: Timestamp) -> Self {
        let make =
            |kind, probe: &Option<Probe>| probe.as_ref().map(|p| ProbeRun::new(kind, p, started));
        Self {
            startup: make(ProbeKind::Startup, &spec.startup_probe),
            readiness: make(ProbeKind::Readiness, &spec.readiness_probe),
            liveness: make(ProbeKind::Liveness, &spec.liveness_probe),
        }
    }

    /// For a run found by a new daemon: what the API last said holds until a probe contradicts.
    pub fn assume(&mut self, started: bool, ready: bool) {
        if let Some(probe) = self.startup.as_mut().filter(|_| started) {
            probe.passed = true;
        }
        if let Some(probe) = self.readiness.as_mut().filter(|_| ready) {
            probe.passed = true;
        }
    }

    /// Whether the startup probe has succeeded, or there is none.
    pub fn startup_passed(&self) -> bool {
        self.startup.as_ref().is_none_or(|p| p.passed)
    }

    /// Whether the readiness probe holds, or there is none.
    pub fn readiness_passed(&self) -> bool {
        self.readiness.as_ref().is_none_or(|p| p.passed)
    }

    /// Probes due at `now`, marked as running, and when the next one is due.
    pub(super) fn due(&mut self, now: Timestamp) -> (Vec<ProbeKind>, Option<Timestamp>) {
        let mut due = Vec::new();
        let mut wake: Option<Timestamp> = None;
        let starting = !self.startup_passed();
        for kind in [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness] {
            // The startup probe runs alone until it has passed, and never again afterwards.
            if (kind == ProbeKind::Startup) != starting {
                continue;
            }
            let Some(probe) = self.get_mut(kind).filter(|p| !p.in_flight) else { continue };
            if probe.next_at <= now {
                probe.in_flight = true;
                due.push(kind);
            } else {
                wake = Some(wake.map_or(probe.next_at, |w| w.min(probe.next_at)));
            }
        }
        (due, wake)
    }

    /// Takes a result in.
    pub(super) fn take(&mut self, kind: ProbeKind, result: &ProbeOutcome, now: Timestamp) -> Turn {
        let turn = self.get_mut(kind).map_or(Turn::Same, |p| p.take(result, now));
        if kind == ProbeKind::Readiness { Turn::Same } else { turn }
    }

    /// Whether a failure now would be counted (and is worth an event).
    pub fn counts(&self, kind: ProbeKind) -> bool {
        let probe = match kind {
            ProbeKind::Startup => &self.startup,
            ProbeKind::Readiness => &self.readiness,
            ProbeKind::Liveness => &self.liveness,
        };
        probe.as_ref().is_some_and(|p| p.early.is_none_or(|e| e >= p.period()))
    }

    /// Grace of a stop that this probe causes, in seconds.
    pub(super) fn grace(&self, kind: ProbeKind) -> Option<i64> {
        let probe = if kind == ProbeKind::Startup { &self.startup } else { &self.liveness };
        probe.as_ref().and_then(|p| p.spec.termination_grace_period_seconds)
    }

    fn get_mut(&mut self, kind: ProbeKind) -> Option<&mut ProbeRun> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn probes(value: serde_json::Value) -> Probes {
        let spec: Spec = serde_json::from_value(value).unwrap();
        Probes::start(&spec, at(0))
    }

    #[test]
    fn readiness_is_asked_early_until_it_succeeds_once() {
        let mut probes = probes(json!({"name": "c", "readinessProbe": {"periodSeconds": 10,
            "failureThreshold": 1}}));
        let fail = ProbeOutcome::Failure("no".to_owned());
        assert!(!probes.readiness_passed());
        assert_eq!(probes.due(at(0)), (vec![ProbeKind::Readiness], None));
        assert!(!probes.counts(ProbeKind::Readiness));
        probes.take(ProbeKind::Readiness, &fail, at(1));
        assert_eq!(probes.due(at(1)), (vec![], Some(at(26))));
        assert_eq!(probes.due(at(26)).0, [ProbeKind::Readiness]);
        probes.take(ProbeKind::Readiness, &ProbeOutcome::Success, at(30));
        assert!(probes.readiness_passed());
        assert_eq!(probes.due(at(30)), (vec![], Some(at(10_030))));
        probes.due(at(10_030));
        assert!(probes.counts(ProbeKind::Readiness));
        probes.take(ProbeKind::Readiness, &fail, at(10_031));
        assert!(!probes.readiness_passed());
    }

    #[test]
    fn liveness_counts_to_its_threshold() {
        let mut probes = probes(json!({"name": "c", "livenessProbe":
            {"initialDelaySeconds": 5, "periodSeconds": 1, "failureThreshold": 2}}));
        assert_eq!(probes.due(at(0)), (vec![], Some(at(5_000))));
        let fail = ProbeOutcome::Failure("no".to_owned());
        assert_eq!(probes.take(ProbeKind::Liveness, &fail, at(5_000)), Turn::Same);
        let unknown = ProbeOutcome::Unknown("?".to_owned());
        assert_eq!(probes.take(ProbeKind::Liveness, &unknown, at(6_000)), Turn::Same);
        assert_eq!(probes.take(ProbeKind::Liveness, &fail, at(7_000)), Turn::Failed);
    }

    #[test]
    fn startup_runs_alone() {
        let mut probes = probes(json!({"name": "c",
            "startupProbe": {"periodSeconds": 1, "failureThreshold": 3},
            "livenessProbe": {"periodSeconds": 1}}));
        assert_eq!(probes.due(at(0)).0, [ProbeKind::Startup]);
        probes.take(ProbeKind::Startup, &ProbeOutcome::Success, at(10));
        assert!(probes.startup_passed());
        assert_eq!(probes.due(at(10)).0, [ProbeKind::Liveness]);
    }
}
