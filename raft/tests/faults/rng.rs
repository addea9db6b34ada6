//! Random numbers of our own (SplitMix64), so that a seed means the same schedule for ever.

use std::ops::Range;

#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A generator whose numbers have nothing to do with those of this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.range(0..len as u64) as usize
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.range(0..100) < chance
    }
}
