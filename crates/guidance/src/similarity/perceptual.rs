//! The network and the trained weights through which DISTS and LPIPS look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use diffguard_models::checkpoint::{Entry, KeyMap, Source};
use diffguard_models::vgg::{BLOCK_CHANNELS, Vgg16Features};

use crate::Error;

/// VGG-16's trained convolutions, as `datasets.toml` names them.
pub const VGG16_WEIGHTS: &str = "torchvision-vgg16";
/// The learned weights of DISTS.
pub const DISTS_WEIGHTS: &str = "piq-dists";
/// The learned weights of LPIPS, as its authors publish them (piq's file holds the same numbers in a bare list, which
/// the reader of PyTorch files refuses).
pub const LPIPS_WEIGHTS: &str = "lpips-vgg";

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

/// Where the weights of a [`Perceptual`] lie: safetensors, or what `torch.save` writes.
#[derive(Debug, Clone)]
pub struct PerceptualFiles {
    /// torchvision's VGG-16; only its `features.*` are read.
    pub vgg16: PathBuf,
    /// `alpha` and `beta` of DISTS, where it is wanted.
    pub dists: Option<PathBuf>,
    /// `lin0.model.1.weight` to `lin4.model.1.weight` of LPIPS, where it is wanted.
    pub lpips: Option<PathBuf>,
}

impl Perceptual {
    /// Reads the weights that are named.
    ///
    /// # Errors
    /// [`Error::Weights`] names the file, and what is missing in it or does not fit.
    pub fn load(files: &PerceptualFiles, device: &Device) -> Result<Self, Error> {
        let weights = Weights::open(&files.vgg16)?;
        let vgg = Vgg16Features::from_values(|key, shape| weights.of(key, shape), device)?;
        let mut perceptual = Self::new(vgg);
        if let Some(path) = &files.dists {
            let weights = Weights::open(path)?;
            let shape = [1, DistsWeights::CHANNELS, 1, 1];
            let [alpha, beta] = ["alpha", "beta"].map(|key| weights.of(key, &shape));
            perceptual = perceptual.with_dists(DistsWeights::new(&alpha?, &beta?, device)?);
        }
        if let Some(path) = &files.lpips {
            let weights = Weights::open(path)?;
            let layers = BLOCK_CHANNELS
                .iter()
                .enumerate()
                .map(|(i, &channels)| {
                    weights.of(&format!("lin{i}.model.1.weight"), &[1, channels, 1, 1])
                })
                .collect::<Result<Vec<_>, _>>()?;
            perceptual = perceptual.with_lpips(LpipsWeights::new(&layers, device)?);
        }
        Ok(perceptual)
    }

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

/// The tensors of a file.
struct Weights<'a> {
    path: &'a Path,
    tensors: BTreeMap<String, (String, Entry)>,
}

impl<'a> Weights<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let source = Source::open(path)?;
        let tensors = KeyMap::published().select(&source)?.tensors;
        Ok(Self { path, tensors })
    }

    fn of(&self, key: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let fault = |what: String| {
            Error::Weights(diffguard_models::Error::Checkpoint {
                path: self.path.to_owned(),
                what,
            })
        };
        let (_, entry) = self
            .tensors
            .get(key)
            .ok_or_else(|| fault(format!("it has no `{key}`")))?;
        if entry.shape != shape {
            return Err(fault(format!(
                "`{key}` has the shape {:?}, expected {shape:?}",
                entry.shape
            )));
        }
        let values = entry.values();
        values.map_err(|problem| fault(format!("`{key}`: {problem}")))
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
