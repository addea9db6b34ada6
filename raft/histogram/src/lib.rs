//! A histogram of `u64` samples in logarithmic buckets: the part of the crate `base2histogram`'s
//! interface that openraft compiles against.
//!
//! Why not that crate: the first histogram of a process makes it build lookup tables for all sixteen
//! bucket widths it offers, 25 MB that stay resident in every member, while openraft uses one width.
//! Here the bucket of a sample is computed, not looked up, and buckets are allocated as far as
//! samples reach. Percentiles are exact below [`LINEAR`] and at most 1/16 too low above.

mod bucket;

use std::{fmt, marker::PhantomData};

pub use bucket::LINEAR;
use bucket::{bucket_of, lowest_in};

/// Counts of samples by size. `T` exists for the interface's sake: it was the label of a slot of a
/// sliding window, which openraft does not use.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// Count per bucket, as long as the largest sample so far needs; at most 976.
    buckets: Vec<u64>,
    total: u64,
    slots: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Histogram<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({})", self.percentile_stats())
    }
}

impl<T> Histogram<T> {
    /// An empty histogram. Allocates nothing.
    pub const fn new() -> Self {
        Self { buckets: Vec::new(), total: 0, slots: PhantomData }
    }

    /// Count one sample.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Count a sample `count` times. Counts stop at `u64::MAX`.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bucket = bucket_of(value);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] = self.buckets[bucket].saturating_add(count);
        self.total = self.total.saturating_add(count);
    }

    /// Samples counted so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The lower bound of the bucket that holds the sample below which the share `fraction` (0 to 1)
    /// of all samples lies; 0 when nothing was recorded.
    pub fn percentile(&self, fraction: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        // At least one sample, at most all of them.
        let rank = ((self.total as f64 * fraction).ceil() as u64).clamp(1, self.total);
        let mut seen = 0_u64;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return lowest_in(bucket);
            }
        }
        self.buckets.len().checked_sub(1).map_or(0, lowest_in)
    }

    /// The percentiles people look at.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total,
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

/// Percentiles of a [`Histogram`], in the unit of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    /// Samples counted.
    pub samples: u64,
    /// 0.1th percentile.
    pub p0_1: u64,
    /// 1st percentile.
    pub p1: u64,
    /// 5th percentile.
    pub p5: u64,
    /// 10th percentile.
    pub p10: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p0_1, p1, p5, p10, p50, p90, p99, p99_9 } = self;
        write!(
            f,
            "n={samples} p0.1={p0_1} p1={p1} p5={p5} p10={p10} p50={p50} p90={p90} p99={p99} \
             p99.9={p99_9}"
        )
    }
}

/// Several named histograms shown below each other, one line each.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    rows: Vec<(String, PercentileStats)>,
}

impl AsciiChart {
    /// A chart without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The chart with one more row.
    #[must_use]
    pub fn add<T>(mut self, name: impl Into<String>, histogram: Histogram<T>) -> Self {
        self.rows.push((name.into(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|(name, stats)| writeln!(f, "{name:>24}: {stats}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_samples() {
        let mut h = Histogram::<()>::new();
        assert_eq!(h.percentile(0.5), 0);
        for value in 1..=10 {
            h.record(value);
        }
        h.record_n(1 << 40, 90);
        let stats = h.percentile_stats();
        assert_eq!((stats.samples, stats.p1, stats.p5, stats.p10), (100, 1, 5, 10));
        assert_eq!((stats.p50, stats.p99_9), (1 << 40, 1 << 40));
    }

    #[test]
    fn counts_do_not_overflow() {
        let mut h = Histogram::<()>::new();
        h.record_n(u64::MAX, u64::MAX);
        h.record_n(u64::MAX, 2);
        assert_eq!(h.total(), u64::MAX);
        assert!(h.percentile(1.0) >= u64::MAX / 16 * 15);
    }

    #[test]
    fn a_row_per_histogram() {
        let mut h = Histogram::<()>::new();
        h.record(3);
        let chart = AsciiChart::new().add("a", h).add("b", Histogram::<()>::new()).to_string();
        assert_eq!(chart.lines().count(), 2);
        assert!(chart.contains("a: n=1 p0.1=3"));
    }
}
