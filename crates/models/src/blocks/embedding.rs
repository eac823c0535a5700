//! Embeddings of steps and labels.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor};

use super::Dense;

/// Two linear layers with a SiLU between them, for the sinusoid of the step.
#[derive(Module, Debug)]
pub struct TimeMlp {
    first: Dense,
    second: Dense,
}

impl TimeMlp {
    /// From `channels` to `4 * channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            first: Dense::new(channels, 4 * channels, device),
            second: Dense::new(4 * channels, 4 * channels, device),
        }
    }

    /// `[batch, channel]` -> `[batch, 4 * channel]`.
    pub fn forward(&self, sinusoid: Tensor<2>) -> Tensor<2> {
        self.second.forward(silu(self.first.forward(sinusoid)))
    }
}

/// A row for every label.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[label, channel]`.
    weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Rows drawn from the standard normal distribution.
    pub fn new(rows: usize, channels: usize, device: &Device) -> Self {
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 1.0,
        };
        Self {
            weight: normal.init([rows, channels], device),
        }
    }

    /// `[batch]` -> `[batch, channel]`.
    ///
    /// # Panics
    /// On a label without a row.
    pub fn forward(&self, labels: Tensor<1, Int>) -> Tensor<2> {
        self.weight.val().select(0, labels)
    }

    /// The last row, `batch` times: `[batch, channel]`.
    pub fn last(&self, batch: usize) -> Tensor<2> {
        let [rows, channels] = self.weight.dims();
        self.weight
            .val()
            .narrow(0, rows - 1, 1)
            .expand([batch, channels])
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.table_shape()[0]
    }

    /// All rows, `[label, channel]`.
    pub fn table(&self) -> Tensor<2> {
        self.weight.val()
    }

    /// Number of rows and of channels.
    pub fn table_shape(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
    }
}

/// Sinusoidal embedding of a (possibly fractional) step, sines first, frequencies `10000^(-i/(half - 1))`:
/// `[batch]` -> `[batch, dim]` (the convention of DDPM's and DDIM's code). `dim` is even and at least 4.
pub fn sinusoid_sin_first(t: Tensor<1>, dim: usize) -> Tensor<2> {
    let half = dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| (-(10_000f64.ln()) * i as f64 / (half - 1) as f64).exp() as f32)
        .collect();
    let frequencies =
        Tensor::<1>::from_floats(frequencies.as_slice(), &t.device()).unsqueeze_dim::<2>(0);
    let angles = t.unsqueeze_dim::<2>(1) * frequencies;
    Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1)
}
