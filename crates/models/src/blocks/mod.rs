//! Building blocks of the published diffusion networks. Their tensors have the shapes of the published state dicts
//! (a linear layer is `[out, in]`, a 1x1 convolution `[out, in, 1, 1]`), so that weights are loaded without rearranging.

mod attention;
mod conv;
mod dense;
mod embedding;
mod norm;
pub mod plain;
mod resample;
mod transformer;
pub mod trunk;

pub use attention::{HeadOrder, QkvAttention, attend};
pub use conv::{Conv1x1, Downsample, Edge, TokenConv};
pub use dense::Dense;
pub use embedding::{Embedding, TimeMlp, sinusoid_sin_first};
pub use norm::{GroupNorm, LayerNorm};
pub use resample::{Resample, average2};
pub use transformer::{SpatialTransformer, TransformerConfig};

use burn::module::Param;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

/// Groups of every group normalisation of the published networks.
pub const GROUPS: usize = 32;

/// A parameter drawn uniformly from `±1 / sqrt(fan_in)`, once it is asked for.
fn uniform<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    let fan_in: usize = shape[1..].iter().product();
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Initializer::Uniform {
        min: -bound,
        max: bound,
    }
    .init(shape, device)
}

/// A bias of zeros, once it is asked for.
fn zeros(size: usize, device: &Device) -> Param<Tensor<1>> {
    Initializer::Zeros.init([size], device)
}

/// A gain of ones, once it is asked for.
fn ones(size: usize, device: &Device) -> Param<Tensor<1>> {
    Initializer::Ones.init([size], device)
}
