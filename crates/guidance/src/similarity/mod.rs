//! How alike a reference image and its synthesis are; higher means more in-distribution.
//!
//! A similarity is one file with one constant, and one line in [`SIMILARITIES`]. Distances enter with a minus sign, so
//! that every score points the same way.
//!
//! The published ones follow the Python package piq 0.8.0, which DiffGuard uses. burn-train's vision metrics are not
//! used: those whose value would be the same ([`lpips`]) come with what a library should not do, the others differ; the
//! file of each says how.

pub(crate) mod dists;
mod features_cosine;
mod features_l1;
mod features_l1_normalised;
mod features_l2;
mod features_l2_normalised;
mod fsim;
mod gmsd;
mod l1;
mod l2;
mod logits_cosine;
mod logits_l1;
mod logits_l1_normalised;
mod logits_l2;
mod logits_l2_normalised;
pub(crate) mod lpips;
mod maps;
mod mdsi;
mod ms_ssim;
mod name;
mod perceptual;
mod phase_congruency;
mod psnr;
mod shrink;
mod ssim;
mod vectors;
mod view;
mod vif;

use burn::tensor::Tensor;

pub use name::SimilarityName;
pub use perceptual::{
    DISTS_WEIGHTS, DistsWeights, LPIPS_WEIGHTS, LpipsWeights, Perceptual, PerceptualFiles,
    VGG16_WEIGHTS,
};
pub use view::View;

use crate::Error;

/// All similarities, in the order in which they are listed.
pub const SIMILARITIES: &[Similarity] = &[
    l1::L1,
    l2::L2,
    psnr::PSNR,
    ssim::SSIM,
    ms_ssim::MS_SSIM,
    gmsd::GMSD,
    mdsi::MDSI,
    fsim::FSIM,
    fsim::FSIM_GREY,
    vif::VIF,
    vif::VIF_UNCLAMPED,
    dists::DISTS,
    lpips::LPIPS,
    dists::DISTS_OWN,
    lpips::LPIPS_OWN,
    logits_l1::LOGITS_L1,
    logits_l2::LOGITS_L2,
    logits_cosine::LOGITS_COSINE,
    logits_l1_normalised::LOGITS_L1_NORMALISED,
    logits_l2_normalised::LOGITS_L2_NORMALISED,
    features_l1::FEATURES_L1,
    features_l2::FEATURES_L2,
    features_cosine::FEATURES_COSINE,
    features_l1_normalised::FEATURES_L1_NORMALISED,
    features_l2_normalised::FEATURES_L2_NORMALISED,
];

/// A way to score a synthesis against its reference.
#[derive(Clone, Copy)]
pub struct Similarity {
    /// The name by which an experiment asks for it.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The values that the score can take; the highest is that of equal images.
    pub range: &'static str,
    /// Whether it looks through the classifier under protection.
    pub needs_classifier: bool,
    /// The trained weights that it looks through, as `datasets.toml` names them; a view has them from
    /// [`View::with_perceptual`].
    pub needs_weights: &'static [&'static str],
    score: fn(&View<'_>, &View<'_>) -> Result<Tensor<1>, Error>,
}

impl Similarity {
    /// The score of each pair, `[batch]`: higher means more alike.
    ///
    /// # Errors
    /// When the two batches differ in shape, a classifier or trained weights are missing, or the images are too small.
    pub fn score(&self, reference: &View<'_>, synthesis: &View<'_>) -> Result<Tensor<1>, Error> {
        let (expected, got) = (reference.image().dims(), synthesis.image().dims());
        if expected != got {
            return Err(Error::Shape {
                what: "images to be compared",
                expected: format!("{expected:?}, as the references"),
                got: format!("{got:?}"),
            });
        }
        (self.score)(reference, synthesis)
    }
}

impl std::fmt::Debug for Similarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Similarity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Sum of each sample's values: `[batch]` of `[batch, …]`.
fn sum_each<const D: usize>(values: Tensor<D>) -> Tensor<1> {
    let batch = values.dims()[0];
    values
        .reshape::<2, _>([batch as i32, -1])
        .sum_dim(1)
        .squeeze_dim(1)
}

/// Mean of each sample's values: `[batch]` of `[batch, …]`.
fn mean_each<const D: usize>(values: Tensor<D>) -> Tensor<1> {
    let batch = values.dims()[0];
    values
        .reshape::<2, _>([batch as i32, -1])
        .mean_dim(1)
        .squeeze_dim(1)
}
