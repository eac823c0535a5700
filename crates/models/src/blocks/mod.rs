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

pub use attention::{HeadOrder, QkvAttention};
pub use conv::{Conv1x1, Downsample, Edge, TokenConv};
pub use dense::Dense;
pub use embedding::{Embedding, TimeMlp, sinusoid_sin_first};
pub use norm::{GroupNorm, LayerNorm};
pub use resample::{Resample, average2};
#[cfg(test)]
pub(crate) use transformer::counted;
pub use transformer::{Context, SpatialTransformer, TransformerConfig};

use burn::module::Param;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::Error;

/// Groups of every group normalisation of the published networks.
pub const GROUPS: usize = 32;

/// Refuses sizes that no network has: `sizes` are name, value and the largest value allowed, which lies far above every
/// published network and below what overflows.
///
/// # Errors
/// [`Error::Configuration`] names the first that is zero or too large.
pub fn check_sizes(network: &'static str, sizes: &[(&str, usize, usize)]) -> Result<(), Error> {
    match sizes
        .iter()
        .find(|(_, value, most)| *value == 0 || value > most)
    {
        Some((name, value, most)) => Err(Error::Configuration {
            network,
            what: format!("{name} must lie in 1..={most}, found {value}"),
        }),
        None => Ok(()),
    }
}

/// Refuses levels that no network has, and channels that do not split into groups; as [`check_sizes`].
///
/// # Errors
/// [`Error::Configuration`] names the level.
pub fn check_levels(
    network: &'static str,
    name: &str,
    channels: usize,
    multiples: &[usize],
) -> Result<(), Error> {
    let fault = |what: String| Err(Error::Configuration { network, what });
    if multiples.is_empty() || multiples.len() > LEVELS {
        return fault(format!(
            "{name} needs 1 to {LEVELS} levels, found {}",
            multiples.len()
        ));
    }
    for (level, multiple) in multiples.iter().enumerate() {
        let found = channels.saturating_mul(*multiple);
        if found == 0 || found > CHANNELS || !found.is_multiple_of(GROUPS) {
            return fault(format!(
                "the group norms of level {level} ({name}) need a multiple of {GROUPS} channels, at most {CHANNELS}, \
                 found {found}"
            ));
        }
    }
    Ok(())
}

/// Most levels of a network.
const LEVELS: usize = 12;
/// Most channels of a layer.
pub const CHANNELS: usize = 1 << 15;
/// Largest side of an image.
pub const SIDE: usize = 1 << 13;
/// Most residual blocks a level, or transformer blocks in one place.
pub const BLOCKS: usize = 1 << 8;
/// Most classes, or codes.
pub const CLASSES: usize = 1 << 20;

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
