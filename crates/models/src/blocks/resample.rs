//! Halving and doubling of an image without parameters.

use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use diffguard_kernels::upsample2;

/// How a residual block changes the size of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resample {
    /// Not at all.
    Keep,
    /// Average pooling of 2x2 pixels.
    Halve,
    /// Nearest-neighbour enlargement by two.
    Double,
}

impl Resample {
    /// Applies it to `[batch, channel, h, w]`.
    pub fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Keep => x,
            Self::Halve => average2(x),
            Self::Double => upsample2(x),
        }
    }

    /// The length of a side afterwards.
    pub fn side(self, side: usize) -> usize {
        match self {
            Self::Keep => side,
            Self::Halve => side / 2,
            Self::Double => 2 * side,
        }
    }
}

/// Means of 2x2 pixels: `[batch, channel, h, w]` -> `[batch, channel, h / 2, w / 2]`.
pub fn average2(x: Tensor<4>) -> Tensor<4> {
    avg_pool2d(x, AvgPoolOptions::new([2, 2]))
}
