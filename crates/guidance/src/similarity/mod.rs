//! How alike a reference image and its synthesis are; higher means more in-distribution.
//!
//! A similarity is one file with one constant, and one line in [`SIMILARITIES`]. Distances enter with a minus sign, so
//! that every score points the same way.

mod features_cosine;
mod features_l2;
mod gmsd;
mod l1;
mod l2;
mod logits_l1;
mod logits_l1_normalised;
mod ms_ssim;
mod name;
mod psnr;
mod ssim;
mod view;

use burn::tensor::Tensor;

pub use name::SimilarityName;
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
    logits_l1::LOGITS_L1,
    logits_l1_normalised::LOGITS_L1_NORMALISED,
    features_l2::FEATURES_L2,
    features_cosine::FEATURES_COSINE,
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
    score: fn(&View<'_>, &View<'_>) -> Result<Tensor<1>, Error>,
}

impl Similarity {
    /// The score of each pair, `[batch]`: higher means more alike.
    ///
    /// # Errors
    /// When the two batches differ in shape, a classifier is missing, or the images are too small.
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
