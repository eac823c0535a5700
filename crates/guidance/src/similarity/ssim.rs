//! Structural similarity (Wang et al. 2004), with piq's conventions: no padding, and images whose smaller side is a
//! multiple of 256 are averaged down first.
//!
//! burn-train 0.22.1's `SsimMetric` has the same window and constants but pads with zeros, which pulls the border
//! towards black on both sides, does not shrink large images, and gives the mean of a batch alone.

use burn::tensor::{
    Device, Tensor,
    module::{avg_pool2d, conv2d},
    ops::{AvgPoolOptions, ConvOptions},
};

use super::{Similarity, View, maps::shrink_factor};
use crate::Error;

/// Side of the Gaussian window.
pub(super) const WINDOW: usize = 11;
/// Its standard deviation in pixels.
const SIGMA: f64 = 1.5;
/// Constants of luminance and contrast, for images in [0, 1].
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// Mean of the SSIM map, on [0, 1].
pub const SSIM: Similarity = Similarity {
    name: "ssim",
    summary: "structural similarity",
    range: "-1 to 1",
    needs_classifier: false,
    needs_weights: &[],
    score,
};

fn score(x: &View<'_>, y: &View<'_>) -> Result<Tensor<1>, Error> {
    let [_, _, height, width] = x.image().dims();
    let side = height.min(width);
    let factor = shrink_factor(height, width);
    if side / factor < WINDOW {
        return Err(Error::Similarity {
            name: "ssim",
            reason: format!(
                "images of {height}x{width} pixels; it needs at least {WINDOW} on each side"
            ),
        });
    }
    let (x, y) = (halve(x.unit_image(), factor), halve(y.unit_image(), factor));
    let (ssim, _) = ssim_per_channel(x, y);
    Ok(ssim.mean_dim(1).squeeze_dim(1))
}

/// Averages blocks of `factor` x `factor` pixels.
pub(super) fn halve(image: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor < 2 {
        return image;
    }
    avg_pool2d(
        image,
        AvgPoolOptions::new([factor, factor]).with_stride([factor, factor]),
    )
}

/// SSIM and its contrast-structure term, both `[batch, channel]`, of images in [0, 1].
pub(super) fn ssim_per_channel(x: Tensor<4>, y: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
    let [batch, channel, height, width] = x.dims();
    // All five moments in one batch of one-channel images.
    let moments = Tensor::cat(
        vec![
            x.clone(),
            y.clone(),
            x.clone().square(),
            y.clone().square(),
            x * y,
        ],
        0,
    );
    let blurred = blur(moments.reshape([5 * batch * channel, 1, height, width]));
    let rows = batch * channel;
    let [mean_x, mean_y, xx, yy, xy] =
        std::array::from_fn(|i| blurred.clone().narrow(0, i * rows, rows));
    let (mean_x2, mean_y2, mean_xy) = (
        mean_x.clone().square(),
        mean_y.clone().square(),
        mean_x * mean_y,
    );
    let variances = xx - mean_x2.clone() + (yy - mean_y2.clone());
    let covariance = xy - mean_xy.clone();
    let contrast = (covariance * 2.0 + C2) / (variances + C2);
    let luminance = (mean_xy * 2.0 + C1) / (mean_x2 + mean_y2 + C1);
    let mean = |map: Tensor<4>| map.mean_dims(&[2, 3]).reshape([batch, channel]);
    (mean(luminance * contrast.clone()), mean(contrast))
}

/// Gaussian window over one-channel images, without padding.
fn blur(image: Tensor<4>) -> Tensor<4> {
    let kernel = gaussian(&image.device());
    let options = || ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
    let along_height = conv2d(
        image,
        kernel.clone().reshape([1, 1, WINDOW, 1]),
        None,
        options(),
    );
    conv2d(
        along_height,
        kernel.reshape([1, 1, 1, WINDOW]),
        None,
        options(),
    )
}

fn gaussian(device: &Device) -> Tensor<1> {
    let centre = (WINDOW - 1) as f64 / 2.0;
    let weights: Vec<f64> = (0..WINDOW)
        .map(|i| (-(i as f64 - centre).powi(2) / (2.0 * SIGMA * SIGMA)).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    let weights: Vec<f32> = weights.iter().map(|w| (w / total) as f32).collect();
    Tensor::from_floats(weights.as_slice(), device)
}
