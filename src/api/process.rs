//! What the kernel says of this process, for `/metrics`.

use std::fs;

/// Size of a page; the unit of `/proc/self/statm` on every platform this runs on.
const PAGE_BYTES: u64 = 4096;
/// Ticks per second of `/proc/self/stat` (`USER_HZ`, fixed by the ABI).
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process; what cannot be read is 0.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Process {
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Proportional set size, bytes: shared pages are divided by their users.
    pub proportional_bytes: u64,
    /// CPU time, user and system, seconds.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_fds: usize,
    /// Threads.
    pub threads: u64,
}

/// Reads the figures. Takes well under a millisecond; no disk is touched.
pub(super) fn read() -> Process {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stat = text("/proc/self/stat");
    let (cpu_seconds, threads) = parse_stat(&stat);
    let pages = text("/proc/self/statm");
    let resident = pages.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    Process {
        resident_bytes: resident.unwrap_or(0) * PAGE_BYTES,
        proportional_bytes: parse_pss(&text("/proc/self/smaps_rollup")),
        cpu_seconds,
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        threads,
    }
}

fn parse_stat(stat: &str) -> (f64, u64) {
    // The command may contain spaces and parentheses; fields are counted after the last one.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process fit")]
    let ticks = (number(11) + number(12)) as f64;
    (ticks / TICKS_PER_SECOND, number(17))
}

fn parse_pss(rollup: &str) -> u64 {
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 12 0 99 0 0";
        assert_eq!(parse_stat(stat), (2.0, 12));
        assert_eq!(parse_stat(""), (0.0, 0));
        assert_eq!(parse_pss("Rss: 5 kB\nPss:                  3 kB\n"), 3072);
        assert!(read().resident_bytes > 0);
    }
}
