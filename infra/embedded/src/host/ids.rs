//! Invocation ids and trace ids: random, or repeatable from a seed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Mutex;

/// SplitMix64: small, and good enough for ids that only have to differ.
#[derive(Debug)]
pub struct Ids {
    state: Mutex<u64>,
}

impl Ids {
    pub fn random() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    pub fn seeded(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }

    fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A version 4 GUID.
    pub fn guid(&self) -> String {
        let high = (self.next() & !0xf000) | 0x4000;
        let low = (self.next() & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    pub(super) fn trace_id(&self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next() | 1)
    }

    pub(super) fn span_id(&self) -> String {
        format!("{:016x}", self.next() | 1)
    }

    /// Between 0 and 1.
    pub(super) fn fraction(&self) -> f64 {
        // 53 bits are what a double holds.
        #[allow(clippy::cast_precision_loss)]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn a_seed_repeats_its_ids_and_they_are_version_4() {
        let (one, two) = (Ids::seeded(7), Ids::seeded(7));
        let id = one.guid();
        assert_eq!(id, two.guid());
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert_ne!(id, one.guid());
    }
}
