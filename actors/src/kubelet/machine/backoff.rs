//! Crash loop back-off, as upstream's `flowcontrol.Backoff` in the kubelet.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::later;

/// Pause after the first failed restart, in seconds.
const INITIAL_SECONDS: i64 = 10;
/// Longest pause, in seconds.
const MAX_SECONDS: i64 = 300;
/// A container that ran this long starts over, in seconds.
const RESET_AFTER_SECONDS: i64 = 600;

/// Pauses between the restarts of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CrashLoop {
    delay: i64,
    updated: Option<Timestamp>,
}

impl CrashLoop {
    /// When a container that ended at `finished` may start again, and the pause in seconds;
    /// `None`: at once.
    pub fn until(&self, finished: Timestamp) -> Option<(Timestamp, i64)> {
        (self.delay > 0 && !self.is_stale(finished))
            .then(|| (later(finished, self.delay), self.delay))
    }

    /// Notes a restart at `now` of a container that ended at `finished`.
    pub fn restarted(&mut self, finished: Timestamp, now: Timestamp) {
        self.delay = if self.delay == 0 || self.is_stale(finished) {
            INITIAL_SECONDS
        } else {
            (self.delay * 2).min(MAX_SECONDS)
        };
        self.updated = Some(now);
    }

    /// For a container found running: as if it had been restarted `restarts` times.
    pub fn resumed(restarts: u32, started: Timestamp) -> Self {
        let delay = if restarts == 0 {
            0
        } else {
            INITIAL_SECONDS.saturating_mul(1 << (restarts - 1).min(10)).min(MAX_SECONDS)
        };
        Self { delay, updated: Some(started) }
    }

    fn is_stale(&self, finished: Timestamp) -> bool {
        self.updated.is_some_and(|u| {
            finished.duration_since(u) > SignedDuration::from_secs(RESET_AFTER_SECONDS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn doubles_to_five_minutes_and_starts_over() {
        let mut back = CrashLoop::default();
        assert_eq!(back.until(at(100)), None);
        let mut clock = 100;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            back.restarted(at(clock), at(clock));
            let (until, delay) = back.until(at(clock + 1)).unwrap();
            assert_eq!((until, delay), (at(clock + 1 + expected), expected));
            clock += 1 + expected;
        }
        assert_eq!(back.until(at(clock + 601)), None);
        back.restarted(at(clock + 601), at(clock + 601));
        assert_eq!(back.until(at(clock + 602)).map(|(_, d)| d), Some(10));
    }
}
