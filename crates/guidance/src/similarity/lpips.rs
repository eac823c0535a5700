//! Learned perceptual image patch similarity (Zhang et al. 2018), with piq's conventions; and the same distance on the
//! stages of the classifier under protection.
//!
//! burn-train 0.22.1's `Lpips` (VGG) computes the same as piq, up to 1e-10 in a division: its shift and scale are
//! ImageNet's statistics for images in [-1, 1]. It is not used because it downloads its weights inside its constructor,
//! and because the crate brings a terminal dashboard and a second random generator along.

use burn::tensor::Tensor;
use diffguard_models::vgg::{Pooling, Vgg16Features};

use super::{
    Similarity,
    perceptual::{LPIPS_WEIGHTS, Perceptual, VGG16_WEIGHTS, missing},
};
use crate::Error;

const NAME: &str = "lpips";
const OWN: &str = "lpips-own";
const NEEDED: &[&str] = &[VGG16_WEIGHTS, LPIPS_WEIGHTS];
/// Keeps vanishing activations from dividing by zero.
const EPSILON: f64 = 1e-10;

/// `-LPIPS` through VGG-16; grey images count as colour images of three equal channels.
pub const LPIPS: Similarity = Similarity {
    name: NAME,
    summary: "-LPIPS: weighted distance of VGG-16's activations",
    range: "not above 0",
    needs_classifier: false,
    needs_weights: NEEDED,
    score: |x, y| {
        let weights = x.perceptual().or(y.perceptual());
        let weights = weights
            .and_then(|perceptual| perceptual.lpips.as_ref())
            .ok_or_else(|| missing(NAME, NEEDED))?;
        let layers = per_layer(
            &x.lpips_layers(NAME)?,
            &y.lpips_layers(NAME)?,
            Some(weights.layers()),
        );
        Ok(-layers.sum_dim(1).squeeze_dim::<1>(1))
    },
};

/// `-` the mean over the classifier's stages of `mean over pixels of ||x / ||x|| - y / ||y||||^2`: LPIPS' formula with
/// all weights 1, every stage weighing the same. Not LPIPS: neither the network nor the weights are the published ones.
pub const LPIPS_OWN: Similarity = Similarity {
    name: OWN,
    summary: "LPIPS' distance on the classifier's own stages, with equal weights",
    range: "-4 to 0",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| {
        let units = |layers: Vec<Tensor<4>>| layers.into_iter().map(unit).collect::<Vec<_>>();
        let (x, y) = (units(x.stages(OWN)?), units(y.stages(OWN)?));
        Ok(-per_layer(&x, &y, None).mean_dim(1).squeeze_dim::<1>(1))
    },
};

/// VGG-16's blocks with max pooling, each pixel's activations scaled to unit length.
///
/// # Errors
/// For images of which the poolings leave nothing.
pub(super) fn layers(
    perceptual: &Perceptual,
    rgb: Tensor<4>,
    wanted_by: &'static str,
) -> Result<Vec<Tensor<4>>, Error> {
    let [_, _, height, width] = rgb.dims();
    let smallest = Vgg16Features::SMALLEST_SIDE;
    if height.min(width) < smallest {
        return Err(Error::Similarity {
            name: wanted_by,
            reason: format!(
                "images of {height}x{width} pixels; VGG-16's poolings need at least {smallest} on each side"
            ),
        });
    }
    let blocks = perceptual.vgg.blocks(rgb, Pooling::Max);
    Ok(blocks.into_iter().map(unit).collect())
}

fn unit(map: Tensor<4>) -> Tensor<4> {
    let length = map.clone().square().sum_dim(1).sqrt();
    map / (length + EPSILON)
}

/// Weighted squared distance of each layer, mean over its pixels: `[batch, layer]`. Without weights all are 1.
pub(crate) fn per_layer(
    x: &[Tensor<4>],
    y: &[Tensor<4>],
    weights: Option<&[Tensor<4>]>,
) -> Tensor<2> {
    let distances = x.iter().zip(y).enumerate().map(|(i, (x, y))| {
        let [batch, ..] = x.dims();
        let squares = (x.clone() - y.clone()).square();
        let squares = match weights {
            Some(weights) => squares * weights[i].clone(),
            None => squares,
        };
        let distance = squares.sum_dim(1).mean_dims(&[2, 3]);
        distance.reshape([batch, 1])
    });
    Tensor::cat(distances.collect(), 1)
}
