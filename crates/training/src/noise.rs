//! Noisy images for classifiers.

use burn::tensor::{Tensor, TensorData};
use diffguard_guidance::schedule::Schedule;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Error;

/// Diffuses images `[batch, channel, height, width]` to steps drawn uniformly over the schedule, each with noise of its
/// own: `x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps` (P eq. 1). All is drawn on the host from `rng`.
pub(crate) fn noisy(
    image: Tensor<4>,
    schedule: &Schedule,
    rng: &mut impl Rng,
) -> Result<Tensor<4>, Error> {
    let shape = image.dims();
    let steps: Vec<usize> = (0..shape[0])
        .map(|_| rng.random_range(0..schedule.steps()))
        .collect();
    let noise: Vec<f32> = (0..shape.iter().product())
        .map(|_| StandardNormal.sample(rng))
        .collect();
    let noise = Tensor::<4>::from_data(TensorData::new(noise, shape), &image.device());
    Ok(schedule.diffuse(image, noise, &steps)?)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::data::{Purpose, stream};

    fn values(seed: u64, schedule: &Schedule) -> Vec<f32> {
        let image = Tensor::<4>::ones([2, 1, 40, 40], &Device::flex());
        let rng = &mut stream(seed, Purpose::Noise, 0);
        let noisy = noisy(image, schedule, rng).expect("diffuses");
        noisy.into_data().try_into_vec().expect("f32 values")
    }

    #[test]
    fn noise_has_the_level_of_the_schedule_and_follows_from_the_stream() {
        // One step alone, so that its level is known: abar = 0.64.
        let schedule = Schedule::from_betas(vec![0.36]).expect("a schedule");
        let drawn = values(1, &schedule);
        assert_eq!(drawn, values(1, &schedule));
        assert_ne!(drawn, values(2, &schedule));
        let mean = drawn.iter().sum::<f32>() / drawn.len() as f32;
        let squares: f32 = drawn.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / drawn.len() as f32).sqrt();
        assert!((mean - 0.8).abs() < 0.05, "{mean}");
        assert!((deviation - 0.6).abs() < 0.05, "{deviation}");
    }

    #[test]
    fn images_of_a_batch_have_steps_of_their_own() {
        // Either next to no noise or next to nothing else.
        let schedule = Schedule::from_betas(vec![1e-6, 0.9999]).expect("a schedule");
        let mut levels = Vec::new();
        for seed in 0..8 {
            for image in values(seed, &schedule).chunks(40 * 40) {
                let off = image.iter().map(|value| (value - 1.0).abs()).sum::<f32>();
                levels.push(off / 1600.0 > 0.5);
            }
        }
        assert!(levels.contains(&true) && levels.contains(&false));
        assert!(levels.chunks(2).any(|pair| pair[0] != pair[1]));
    }
}
