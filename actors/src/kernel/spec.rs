//! What a supervisor is told about its children: strategies, restart rules, back-off, placement.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

/// Which siblings share the fate of a child that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Strategy {
    /// Only the failed child restarts.
    OneForOne,
    /// All children stop in reverse order and start again in order.
    OneForAll,
    /// The failed child and those started after it restart.
    RestForOne,
    /// Like `OneForOne`, for children that come and go; a restart of the supervisor starts empty.
    Dynamic,
}

/// How a supervisor answers failures.
#[derive(Debug, Clone)]
pub struct SupervisorSpec {
    /// Who restarts with whom.
    pub strategy: Strategy,
    /// Restarts allowed within `period`; one more makes the supervisor itself fail. One child alone
    /// uses up at most half of it: a single crash loop slows down and takes nobody with it.
    pub intensity: u32,
    /// The window `intensity` counts in.
    pub period: Duration,
    /// Back-off its parent applies when this supervisor itself has failed.
    pub backoff: Backoff,
}

impl SupervisorSpec {
    fn with(strategy: Strategy, intensity: u32, period: Duration) -> Self {
        Self { strategy, intensity, period, backoff: Backoff::default() }
    }

    /// One-for-one, 20 restarts in 60 s.
    #[must_use]
    pub fn one_for_one() -> Self {
        Self::with(Strategy::OneForOne, 20, Duration::from_secs(60))
    }

    /// One-for-all, 5 restarts in 30 s.
    #[must_use]
    pub fn one_for_all() -> Self {
        Self::with(Strategy::OneForAll, 5, Duration::from_secs(30))
    }

    /// Rest-for-one, 5 restarts in 30 s.
    #[must_use]
    pub fn rest_for_one() -> Self {
        Self::with(Strategy::RestForOne, 5, Duration::from_secs(30))
    }

    /// Children that come and go, 100 restarts in 60 s over all of them, or two for each child where
    /// that is more.
    #[must_use]
    pub fn dynamic() -> Self {
        Self::with(Strategy::Dynamic, 100, Duration::from_secs(60))
    }

    /// Replaces the restart limit.
    #[must_use]
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = restarts;
        self.period = period;
        self
    }
}

impl Default for SupervisorSpec {
    fn default() -> Self {
        Self::one_for_one()
    }
}

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub enum Restart {
    /// Always, also after `ctx.stop()`.
    #[default]
    Permanent,
    /// After a failure only; `ctx.stop()` ends it.
    Transient,
    /// Never.
    Temporary,
}

/// How long a child may take to stop before its supervisor goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Dropped at once; `stopping` and `stopped` are not called.
    Brutal,
    /// Stopped in order, given up after this long.
    Within(Duration),
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::Within(Duration::from_secs(5))
    }
}

impl Shutdown {
    pub(crate) fn deadline(self) -> Duration {
        match self {
            Self::Brutal => Duration::from_millis(500),
            Self::Within(d) => d,
        }
    }
}

/// On which thread an actor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// One of the kernel's arbiters, chosen by the hash of the path.
    #[default]
    Shared,
    /// One of the kernel's arbiters, chosen by this key: equal keys share a thread.
    Key(u64),
    /// The system arbiter: for light actors only.
    System,
    /// A thread of its own, as long as fewer than [`super::MAX_DEDICATED`] exist.
    Dedicated,
}

/// Waiting time before the n-th restart in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the first restart.
    pub min: Duration,
    /// Never longer than this; a child that ran this long starts over at `min`.
    pub max: Duration,
    /// Part of the delay that is drawn at random, 0 to 1, so that failures do not march in step.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(50), max: Duration::from_secs(30), jitter: 0.2 }
    }
}

impl Backoff {
    /// Delay before the `attempt`-th restart in a row (first is 0); `random` is in 0..1.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doubled = self.min.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let capped = doubled.min(self.max);
        capped.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
    }
}

/// What a supervisor knows about starting, stopping and restarting one child.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChildSpec {
    /// When to start it again.
    pub restart: Restart,
    /// How to stop it.
    pub shutdown: Shutdown,
    /// Waiting times between restarts.
    pub backoff: Backoff,
    /// Its thread.
    pub placement: Placement,
}

impl ChildSpec {
    /// A child that is started again after failures only.
    #[must_use]
    pub fn transient() -> Self {
        Self { restart: Restart::Transient, ..Self::default() }
    }

    /// A child that is never started again.
    #[must_use]
    pub fn temporary() -> Self {
        Self { restart: Restart::Temporary, ..Self::default() }
    }

    /// Replaces the placement.
    #[must_use]
    pub fn on(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }
}

/// Failures in a row: how long to wait before the next start.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    failures: u32,
    born: Option<Instant>,
}

impl Streak {
    /// A life has begun.
    pub(crate) fn born(&mut self) {
        self.born = Some(Instant::now());
    }

    /// The back-off before the next life: longer for each failure in a row.
    pub(crate) fn next(&mut self, backoff: &Backoff) -> Duration {
        if self.born.take().is_some_and(|since| since.elapsed() >= backoff.max) {
            self.failures = 0;
        }
        let delay = backoff.delay(self.failures, rand::random::<f64>());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Failures since it last ran long enough to be called healthy.
    pub(crate) fn failures(&self, backoff: &Backoff) -> u32 {
        let healthy = self.born.is_some_and(|since| since.elapsed() >= backoff.max);
        if healthy { 0 } else { self.failures }
    }
}

/// Whose restart is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// A child's own failure: one child uses up at most half of what is allowed.
    Child(u64),
    /// A supervisor below gave up: several of its children failed, so it counts in full.
    Group,
    /// A letter known by its identity: reported, set aside, and no sign that anything else is wrong.
    Nobody,
}

/// Restarts within a sliding window: at most `allowed + 1` are kept.
#[derive(Debug, Default)]
pub(crate) struct Intensity {
    at: VecDeque<(Instant, Blame)>,
}

impl Intensity {
    /// Counts a restart; true when the limit is now exceeded.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        blame: Blame,
        allowed: u32,
        period: Duration,
    ) -> bool {
        self.expire(now, period);
        let share = (allowed / 2).max(1) as usize;
        let counted = match blame {
            Blame::Nobody => false,
            Blame::Group => true,
            Blame::Child(_) => self.at.iter().filter(|(_, b)| *b == blame).count() < share,
        };
        if counted {
            self.at.push_back((now, blame));
        }
        if self.at.len() > allowed as usize {
            self.at.clear();
            return true;
        }
        false
    }

    pub(crate) fn used(&mut self, now: Instant, period: Duration) -> usize {
        self.expire(now, period);
        self.at.len()
    }

    fn expire(&mut self, now: Instant, period: Duration) {
        while self.at.front().is_some_and(|(t, _)| now.duration_since(*t) > period) {
            self.at.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let b = Backoff { jitter: 0.0, ..Backoff::default() };
        let ms: Vec<u128> = (0..12).map(|n| b.delay(n, 0.5).as_millis()).collect();
        assert_eq!(ms, [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(b.delay(4000, 0.0), Duration::from_secs(30));
        let jittered = Backoff::default().delay(0, 0.5);
        assert_eq!(jittered, Duration::from_millis(45));
    }

    #[test]
    fn intensity_counts_only_inside_its_window() {
        let start = Instant::now();
        let (period, at) = (Duration::from_secs(10), |s| start + Duration::from_secs(s));
        let mut i = Intensity::default();
        assert!(!i.record(start, Blame::Group, 2, period));
        assert!(!i.record(at(1), Blame::Group, 2, period));
        assert_eq!(i.used(at(1), period), 2);
        assert!(!i.record(at(12), Blame::Group, 2, period));
        assert!(!i.record(at(13), Blame::Group, 2, period));
        assert!(i.record(at(14), Blame::Group, 2, period));
    }

    #[test]
    fn one_child_uses_up_half_and_poison_nothing() {
        let (now, period) = (Instant::now(), Duration::from_secs(10));
        let mut i = Intensity::default();
        for _ in 0..1000 {
            assert!(!i.record(now, Blame::Child(1), 4, period));
            assert!(!i.record(now, Blame::Nobody, 4, period));
            assert!(!i.record(now, Blame::Child(2), 4, period));
        }
        assert_eq!(i.used(now, period), 4);
        assert!(i.record(now, Blame::Child(3), 4, period), "three children are no coincidence");
        // A single child never brings down the smallest of windows either.
        assert!((0..9).all(|_| !i.record(now, Blame::Child(1), 1, period)));
    }
}
