//! The network and the trained weights through which DISTS and LPIPS look.

use burn::tensor::{Device, Tensor};
use diffguard_models::vgg::{BLOCK_CHANNELS, Vgg16Features};

use crate::Error;

/// VGG-16's trained convolutions, as `datasets.toml` names them.
pub const VGG16_WEIGHTS: &str = "torchvision-vgg16";
/// The learned weights of DISTS.
pub const DISTS_WEIGHTS: &str = "piq-dists";
/// The learned weights of LPIPS.
pub const LPIPS_WEIGHTS: &str = "piq-lpips";

/// VGG-16 with the weights of the distances that are made of its activations.
#[derive(Debug)]
pub struct Perceptual {
    pub(super) vgg: Vgg16Features,
    pub(super) dists: Option<DistsWeights>,
    pub(super) lpips: Option<LpipsWeights>,
}

/// Weights of the structure (`alpha`) and the texture (`beta`) of each channel, both `[1, channel]`: the three of the
/// image, then those of VGG-16's blocks.
#[derive(Debug, Clone)]
pub struct DistsWeights {
    pub(super) alpha: Tensor<2>,
    pub(super) beta: Tensor<2>,
}

/// A weight for each channel of each block, `[1, channel, 1, 1]`.
#[derive(Debug, Clone)]
pub struct LpipsWeights(Vec<Tensor<4>>);

impl Perceptual {
    /// VGG-16 alone, which no distance can be computed with yet.
    pub fn new(vgg: Vgg16Features) -> Self {
        Self {
            vgg,
            dists: None,
            lpips: None,
        }
    }

    /// The same with the weights of DISTS.
    #[must_use]
    pub fn with_dists(self, weights: DistsWeights) -> Self {
        Self {
            dists: Some(weights),
            ..self
        }
    }

    /// The same with the weights of LPIPS.
    #[must_use]
    pub fn with_lpips(self, weights: LpipsWeights) -> Self {
        Self {
            lpips: Some(weights),
            ..self
        }
    }
}

impl DistsWeights {
    /// Channels of the image and of VGG-16's blocks together.
    pub const CHANNELS: usize = 3 + 64 + 128 + 256 + 512 + 512;

    /// The published weights are not negative and sum to 1 together; they are taken as they are.
    ///
    /// # Errors
    /// For another number of weights than [`CHANNELS`](Self::CHANNELS).
    pub fn new(alpha: &[f32], beta: &[f32], device: &Device) -> Result<Self, Error> {
        let row = |what, values: &[f32]| match values.len() {
            Self::CHANNELS => Ok(Tensor::<1>::from_floats(values, device).unsqueeze::<2>()),
            other => Err(Error::Shape {
                what,
                expected: format!("{} values", Self::CHANNELS),
                got: format!("{other}"),
            }),
        };
        Ok(Self {
            alpha: row("weights `alpha` of DISTS", alpha)?,
            beta: row("weights `beta` of DISTS", beta)?,
        })
    }
}

impl LpipsWeights {
    /// `layers`: a weight for each channel, of each of VGG-16's blocks.
    ///
    /// # Errors
    /// For other numbers of layers or weights than VGG-16 has.
    pub fn new(layers: &[Vec<f32>], device: &Device) -> Result<Self, Error> {
        let got: Vec<usize> = layers.iter().map(Vec::len).collect();
        if got != BLOCK_CHANNELS {
            return Err(Error::Shape {
                what: "linear weights of LPIPS",
                expected: format!("layers of {BLOCK_CHANNELS:?} values"),
                got: format!("{got:?}"),
            });
        }
        let layer = |values: &Vec<f32>| {
            Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, values.len(), 1, 1])
        };
        Ok(Self(layers.iter().map(layer).collect()))
    }

    /// The weights of each layer, `[1, channel, 1, 1]`.
    pub fn layers(&self) -> &[Tensor<4>] {
        &self.0
    }
}

/// Why `name` cannot be computed without `needed` weights, and what helps.
pub(super) fn missing(name: &'static str, needed: &[&str]) -> Error {
    Error::Similarity {
        name,
        reason: format!(
            "it looks through VGG-16's trained weights, which are not at hand: `cargo xtask fetch {}`, or take \
             `{name}-own`, the same distance on the activations of the classifier under protection",
            needed.join(" ")
        ),
    }
}
