//! Random streams that are keyed by what they are for, and whose draws are spelled out here, so that they stay the
//! same whatever becomes of the distributions in other crates.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::hash::Fields;

/// A stream of draws.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream that belongs to `key`.
    pub(crate) fn new(key: Fields) -> Self {
        Self(ChaCha8Rng::from_seed(key.seed()))
    }

    /// A whole number from 0 to `end` - 1, uniform (but for 2^-64 * `end`).
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.0.next_u64()) * end as u128) >> 64) as usize
    }

    /// A number in [0, 1), uniform.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_keyed_and_in_range() {
        let mut one = Stream::new(Fields::new("t").number(1));
        let mut again = Stream::new(Fields::new("t").number(1));
        let mut other = Stream::new(Fields::new("t").number(2));
        let draws: Vec<usize> = (0..100).map(|_| one.below(7)).collect();
        assert_eq!(draws, (0..100).map(|_| again.below(7)).collect::<Vec<_>>());
        assert_ne!(draws, (0..100).map(|_| other.below(7)).collect::<Vec<_>>());
        assert_eq!(
            (draws.iter().min(), draws.iter().max()),
            (Some(&0), Some(&6))
        );
        assert!((0..100).all(|_| (0.0..1.0).contains(&one.unit())));
    }
}
