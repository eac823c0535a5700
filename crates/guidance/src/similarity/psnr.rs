//! Peak signal-to-noise ratio, with piq's convention for equal images.
//!
//! burn-train 0.22.1's `PsnrMetric` clamps the mean square at 1e-10 instead (100 dB for equal images; the same to 1e-4
//! dB below 33 dB) and gives the mean of a batch alone.

use super::{Similarity, mean_each};

/// Keeps equal images from an infinite ratio: they have 80 dB (piq's value).
const EPSILON: f64 = 1e-8;

/// `-10 log10(mean (x - y)^2 + 1e-8)` in dB on [0, 1].
pub const PSNR: Similarity = Similarity {
    name: "psnr",
    summary: "peak signal-to-noise ratio",
    range: "0 to 80 dB",
    needs_classifier: false,
    needs_weights: &[],
    score: |x, y| {
        let mean_square = mean_each((x.unit_image() - y.unit_image()).square());
        Ok((mean_square + EPSILON).log() * (-10.0 / std::f64::consts::LN_10))
    },
};
