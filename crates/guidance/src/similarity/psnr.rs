//! Peak signal-to-noise ratio.

use super::{Similarity, mean_each};

/// Keeps equal images from an infinite ratio: they have 80 dB (piq's value).
const EPSILON: f64 = 1e-8;

/// `-10 log10(mean (x - y)^2 + 1e-8)` in dB on [0, 1].
pub const PSNR: Similarity = Similarity {
    name: "psnr",
    summary: "peak signal-to-noise ratio",
    range: "0 to 80 dB",
    needs_classifier: false,
    score: |x, y| {
        let mean_square = mean_each((x.unit_image() - y.unit_image()).square());
        Ok((mean_square + EPSILON).log() * (-10.0 / std::f64::consts::LN_10))
    },
};
