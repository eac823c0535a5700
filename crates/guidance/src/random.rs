//! Random streams keyed by what they are for, never by the order of work.

use burn::tensor::{Device, Tensor, TensorData};
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

/// The noise of forward diffusion, `[sample, channel, height, width]`, standard normal: each sample's follows from the
/// seed, the sample's identity and the training step alone.
///
/// - `samples`: an identity of each sample that does not depend on its batch;
/// - `shape`: channels, height and width of an image.
pub fn forward_noise(
    seed: u64,
    samples: &[u64],
    step: u64,
    shape: [usize; 3],
    device: &Device,
) -> Tensor<4> {
    noise_for((seed, b"forward-", step), samples, shape, device)
}

/// Standard normal noise, `[sample, channel, height, width]`, of each sample's own stream: of a seed, a purpose and a number.
pub(crate) fn noise_for(
    (seed, purpose, number): (u64, &[u8; 8], u64),
    samples: &[u64],
    shape: [usize; 3],
    device: &Device,
) -> Tensor<4> {
    let each = shape.iter().product();
    let mut values = Vec::with_capacity(samples.len() * each);
    for sample in samples {
        let mut stream = stream(seed, purpose, *sample, number);
        append_normal(&mut stream, each, &mut values);
    }
    let [channels, height, width] = shape;
    let shape = [samples.len(), channels, height, width];
    Tensor::from_data(TensorData::new(values, shape), device)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_samples_noise_depends_on_no_other_sample() {
        let noise = |seed, samples: &[u64], step| -> Vec<f32> {
            let noise = forward_noise(seed, samples, step, [1, 8, 8], &Device::flex());
            noise.into_data().try_into_vec().unwrap()
        };
        let both = noise(1, &[7, 8], 40);
        assert_eq!(both[64..], noise(1, &[8], 40));
        assert_ne!(both[..64], both[64..]);
        assert_ne!(noise(1, &[8], 41), noise(1, &[8], 40));
        assert_ne!(noise(2, &[8], 40), noise(1, &[8], 40));
    }
}
