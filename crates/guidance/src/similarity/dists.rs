//! Deep image structure and texture similarity (Ding et al. 2020), with piq's conventions; and the same distance on the
//! stages of the classifier under protection.
//!
//! burn-train 0.22.1's `Dists` computes something else, so it is not used: its layer 0 is the ImageNet-normalised image
//! (piq's is the image itself), it divides structure by the sum of alpha and texture by the sum of beta (the published
//! weights sum to 1 together, so its distance is larger and reaches 2), it does not shrink images above 256 pixels, and
//! it clamps the L2 pooling at 1e-10 where piq adds 1e-12. Its pooling window is the same.

use burn::tensor::Tensor;
use diffguard_models::vgg::Pooling;

use super::{
    Similarity, View,
    perceptual::{DISTS_WEIGHTS, DistsWeights, Perceptual, VGG16_WEIGHTS, missing},
    shrink::shrink_to,
};
use crate::Error;

const NAME: &str = "dists";
const OWN: &str = "dists-own";
const NEEDED: &[&str] = &[VGG16_WEIGHTS, DISTS_WEIGHTS];
/// Keeps flat channels from dividing by zero.
const EPSILON: f64 = 1e-6;
/// Images whose shorter side is longer are shrunk to it.
const LARGEST_SIDE: usize = 256;

/// `1 - DISTS` through VGG-16; grey images count as colour images of three equal channels.
pub const DISTS: Similarity = Similarity {
    name: NAME,
    summary: "1 - DISTS: structure and texture of VGG-16's activations",
    range: "0 to 1",
    needs_classifier: false,
    needs_weights: NEEDED,
    score: |x, y| {
        let weights = weights(x.perceptual().or(y.perceptual()))?;
        let (alpha, beta) = (weights.alpha.clone(), weights.beta.clone());
        let terms = terms(&x.dists_layers(NAME)?, &y.dists_layers(NAME)?);
        let [structure, texture] =
            [0, 1].map(|i| Tensor::cat(terms.iter().map(|term| term[i].clone()).collect(), 1));
        Ok((structure * alpha + texture * beta)
            .sum_dim(1)
            .squeeze_dim(1))
    },
};

/// `mean over layers and channels of (structure + texture) / 2`, of the image and the stages of the classifier under
/// protection: every layer weighs the same, and so does every channel of a layer. Not DISTS: neither the network nor
/// the weights are the published ones.
pub const DISTS_OWN: Similarity = Similarity {
    name: OWN,
    summary: "DISTS' structure and texture on the classifier's own stages, with equal weights",
    range: "-1 to 1",
    needs_classifier: true,
    needs_weights: &[],
    score: |x, y| {
        let layers = |view: &View<'_>| -> Result<Vec<Tensor<4>>, Error> {
            let mut layers = vec![view.unit_image()];
            layers.extend(view.stages(OWN)?);
            Ok(layers)
        };
        let terms = terms(&layers(x)?, &layers(y)?);
        let mean = |[structure, texture]: [Tensor<2>; 2]| ((structure + texture) / 2.0).mean_dim(1);
        Ok(Tensor::cat(terms.into_iter().map(mean).collect(), 1)
            .mean_dim(1)
            .squeeze_dim(1))
    },
};

fn weights(perceptual: Option<&Perceptual>) -> Result<&DistsWeights, Error> {
    perceptual
        .and_then(|perceptual| perceptual.dists.as_ref())
        .ok_or_else(|| missing(NAME, NEEDED))
}

/// The layers of DISTS of images in [0, 1], which are shrunk first where they are large.
pub(super) fn layers(perceptual: &Perceptual, rgb: Tensor<4>) -> Vec<Tensor<4>> {
    layers_as_it_is(perceptual, shrink_to(rgb, LARGEST_SIDE))
}

/// The image itself, then VGG-16's blocks with L2 pooling.
pub(crate) fn layers_as_it_is(perceptual: &Perceptual, image: Tensor<4>) -> Vec<Tensor<4>> {
    let mut layers = vec![image.clone()];
    layers.extend(perceptual.vgg.blocks(image, Pooling::L2Hann));
    layers
}

/// Similarity of structure (the means) and of texture (the deviations) of each layer, `[batch, channel]` each.
pub(crate) fn terms(x: &[Tensor<4>], y: &[Tensor<4>]) -> Vec<[Tensor<2>; 2]> {
    let of_layer = |(x, y): (&Tensor<4>, &Tensor<4>)| {
        let [batch, channels, ..] = x.dims();
        let mean = |map: Tensor<4>| map.mean_dims(&[2, 3]);
        let (mean_x, mean_y) = (mean(x.clone()), mean(y.clone()));
        let variance =
            |map: &Tensor<4>, average: &Tensor<4>| mean((map.clone() - average.clone()).square());
        let (var_x, var_y) = (variance(x, &mean_x), variance(y, &mean_y));
        let product = mean_x.clone() * mean_y.clone();
        let covariance = mean(x.clone() * y.clone()) - product.clone();
        let structure = (product * 2.0 + EPSILON) / (mean_x.square() + mean_y.square() + EPSILON);
        let texture = (covariance * 2.0 + EPSILON) / (var_x + var_y + EPSILON);
        [structure, texture].map(|term| term.reshape([batch, channels]))
    };
    x.iter().zip(y).map(of_layer).collect()
}
