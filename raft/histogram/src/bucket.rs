//! Which bucket a sample falls into: below [`LINEAR`] one per value; above, every doubling of the
//! value is cut into [`STEPS`] equal parts.

/// Buckets per doubling.
const STEPS: u64 = 16;

const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Values below this have a bucket of their own.
pub const LINEAR: u64 = 2 * STEPS;

pub(crate) fn bucket_of(value: u64) -> usize {
    if value < LINEAR {
        return value as usize;
    }
    let doubling = value.ilog2() - STEP_BITS;
    let step = (value >> doubling) - STEPS;
    (u64::from(doubling) * STEPS + STEPS + step) as usize
}

pub(crate) fn lowest_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < LINEAR {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    (STEPS + bucket % STEPS) << doubling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        assert_eq!(bucket_of(u64::MAX), 975);
        for bucket in 0..=975 {
            let low = lowest_in(bucket);
            assert_eq!(bucket_of(low), bucket, "{low}");
            if bucket > 0 {
                assert_eq!(bucket_of(low - 1), bucket - 1, "{low}");
            }
        }
    }

    #[test]
    fn a_bucket_is_at_most_a_sixteenth_of_its_values() {
        for bucket in LINEAR as usize..975 {
            let (low, next) = (lowest_in(bucket), lowest_in(bucket + 1));
            assert!(next - low <= low / 16, "{bucket}");
        }
    }
}
