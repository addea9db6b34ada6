//! Pauses between attempts to watch: short, because a node that comes back from a partition has to
//! be Ready within two seconds.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// First and longest pause.
const MIN: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(1);

/// 50 ms, doubling to 1 s, spread by the node's own rhythm.
#[derive(Debug, Clone)]
pub(super) struct WatchBackoff(Duration);

impl Default for WatchBackoff {
    fn default() -> Self {
        Self(MIN)
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (self.0 * 2).min(MAX);
        // So that nodes do not return in step.
        Some(pause.mul_f64(0.75 + 0.25 * rand::random::<f64>()))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = MIN;
    }
}
