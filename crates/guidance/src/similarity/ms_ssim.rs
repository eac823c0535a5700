//! Multi-scale structural similarity (Wang et al. 2003), with piq's conventions.
//!
//! burn-train 0.22.1's `MsSsimMetric` pads by reflection at every scale, drops odd rows and columns instead of repeating
//! the first, wants 176 pixels, and gives the mean of a batch alone.

use burn::tensor::{Tensor, activation::relu};

use super::{
    Similarity, View,
    ssim::{WINDOW, halve, ssim_per_channel},
};
use crate::Error;

/// Weights of the five scales, from the finest (ibid.).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Smallest side for which the window still fits the coarsest scale.
const SMALLEST_SIDE: usize = (WINDOW - 1) * (1 << (WEIGHTS.len() - 1)) + 1;

/// Weighted product of contrast and structure over five scales, on [0, 1].
pub const MS_SSIM: Similarity = Similarity {
    name: "ms-ssim",
    summary: "multi-scale structural similarity (images of 161 pixels or more)",
    range: "0 to 1",
    needs_classifier: false,
    needs_weights: &[],
    score,
};

fn score(x: &View<'_>, y: &View<'_>) -> Result<Tensor<1>, Error> {
    let [_, _, height, width] = x.image().dims();
    if height.min(width) < SMALLEST_SIDE {
        return Err(Error::Similarity {
            name: "ms-ssim",
            reason: format!(
                "images of {height}x{width} pixels; it needs at least {SMALLEST_SIDE} on each side (use ssim)"
            ),
        });
    }
    let (mut x, mut y) = (x.unit_image(), y.unit_image());
    let [batch, channel, ..] = x.dims();
    let mut product = Tensor::ones([batch, channel], &x.device());
    for (level, weight) in WEIGHTS.iter().enumerate() {
        if level > 0 {
            (x, y) = (halve(make_even(x), 2), halve(make_even(y), 2));
        }
        let (ssim, contrast) = ssim_per_channel(x.clone(), y.clone());
        let coarsest = level + 1 == WEIGHTS.len();
        product = product * relu(if coarsest { ssim } else { contrast }).powf_scalar(*weight);
    }
    Ok(product.mean_dim(1).squeeze_dim(1))
}

/// Repeats the first row AND the first column where either side is odd, as the reference does.
fn make_even(image: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = image.dims();
    if height % 2 == 0 && width % 2 == 0 {
        return image;
    }
    let image = Tensor::cat(vec![image.clone().narrow(2, 0, 1), image], 2);
    Tensor::cat(vec![image.clone().narrow(3, 0, 1), image], 3)
}
