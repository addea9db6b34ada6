//! What the tests of several hosts share: hosts made of network namespaces, the real binary on
//! them, images made from Debian packages, a real registry, and clients.

#![allow(dead_code, reason = "each test binary uses its own part of the support code")]

pub mod cluster;
pub mod host;
pub mod image;
pub mod kubectl;
pub mod process;
pub mod registry;

use std::time::{Duration, Instant};

/// Waits until `check` answers `Ok`, and returns how long it took.
///
/// # Panics
/// With what `check` said last, when `limit` is over.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<T, String>,
) -> T {
    let begin = Instant::now();
    loop {
        let last = match check() {
            Ok(value) => return value,
            Err(error) => error,
        };
        assert!(begin.elapsed() < limit, "{what}: not within {limit:?}; last: {last}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// True when the tests may make namespaces, mounts and cgroups.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
