//! Gradient magnitude similarity deviation (Xue et al. 2014), with piq's conventions. burn-train 0.22.1 has none.

use burn::tensor::Tensor;

use super::{
    Similarity, View,
    maps::{luma, prewitt_magnitude, similarity_map},
    ssim::halve,
};
use crate::Error;

const NAME: &str = "gmsd";
/// Keeps flat areas from dividing by zero (ibid., for images in [0, 1]).
const CONSTANT: f64 = 170.0 / (255.0 * 255.0);

/// `-` the standard deviation of the gradient magnitudes' similarity, on [0, 1].
pub const GMSD: Similarity = Similarity {
    name: NAME,
    summary: "gradient magnitude similarity deviation",
    range: "not above 0",
    needs_classifier: false,
    needs_weights: &[],
    score,
};

fn score(x: &View<'_>, y: &View<'_>) -> Result<Tensor<1>, Error> {
    let similarity = similarity_map(gradient(x)?, gradient(y)?, CONSTANT);
    let deviation = similarity.clone() - similarity.mean_dims(&[1, 2, 3]);
    let [batch, ..] = deviation.dims();
    Ok(-deviation
        .square()
        .mean_dims(&[1, 2, 3])
        .sqrt()
        .reshape([batch]))
}

/// Prewitt gradient of the halved luma, `[batch, 1, h, w]`.
fn gradient(view: &View<'_>) -> Result<Tensor<4>, Error> {
    let luma = luma(view, NAME)?;
    let [_, _, height, width] = luma.dims();
    if height.min(width) < 2 {
        return Err(Error::Similarity {
            name: NAME,
            reason: format!("images of {height}x{width} pixels; it needs at least 2 on each side"),
        });
    }
    // Zeros at the right AND at the bottom where either side is odd, as the reference does.
    let odd = (height % 2).max(width % 2);
    let luma = luma.pad((0, odd, 0, odd), 0.0);
    Ok(prewitt_magnitude(halve(luma, 2)))
}
