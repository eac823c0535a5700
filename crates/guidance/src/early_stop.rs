//! Adaptive early stop (P tech 2): an inversion goes no further than the image still resembles its input.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Peak-to-peak range of images in [-1, 1].
const PEAK: f64 = 2.0;

/// When a sample stops: at the first step where any of the given similarities falls below its threshold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopConfig {
    /// Smallest peak signal-to-noise ratio in dB, with the peak of 2 that images in [-1, 1] have. The authors' 48.5
    /// is computed with a peak of 255 on such images, and is 6.39 dB here.
    pub psnr: Option<f64>,
}

/// Decides after each step of an inversion which samples stop.
pub trait StopRule {
    /// For each row, whether it stops: `input` and `x`, both `[row, channel, height, width]` in [-1, 1] units, are
    /// the image that the inversion began with and what has become of it.
    ///
    /// # Errors
    /// When the comparison cannot be made.
    fn stops(&self, input: Tensor<4>, x: Tensor<4>) -> Result<Vec<bool>, Error>;
}

impl StopRule for EarlyStopConfig {
    fn stops(&self, input: Tensor<4>, x: Tensor<4>) -> Result<Vec<bool>, Error> {
        let [rows, ..] = x.dims();
        let Some(threshold) = self.psnr else {
            return Ok(vec![false; rows]);
        };
        let values = psnr(input, x).into_data();
        Ok(values
            .iter::<f64>()
            .map(|value| value < threshold)
            .collect())
    }
}

/// Peak signal-to-noise ratio `[batch]` in dB of images in [-1, 1], `20 log10(2 / rms)`; nothing is clamped.
pub fn psnr(input: Tensor<4>, x: Tensor<4>) -> Tensor<1> {
    let mean_square = (input - x)
        .square()
        .flatten::<2>(1, 3)
        .mean_dim(1)
        .squeeze_dim::<1>(1);
    mean_square.log() * (-10.0 / std::f64::consts::LN_10) + 20.0 * PEAK.log10()
}
