//! Random streams keyed by what they are for, never by the order of work.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The stream of a purpose, of the two numbers that identify its use (such as sample and step), under a seed.
pub(crate) fn stream(seed: u64, purpose: &[u8; 8], first: u64, second: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(purpose);
    key[16..24].copy_from_slice(&first.to_le_bytes());
    key[24..].copy_from_slice(&second.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Appends `count` standard normal values (Box and Muller 1958).
pub(crate) fn append_normal(rng: &mut ChaCha8Rng, count: usize, values: &mut Vec<f32>) {
    let end = values.len() + count;
    while values.len() < end {
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        values.push((radius * cos) as f32);
        if values.len() < end {
            values.push((radius * sin) as f32);
        }
    }
}
