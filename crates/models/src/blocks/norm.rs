//! Normalisations.

use burn::module::{Module, Param};
use burn::tensor::module::layer_norm;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::{Norm, group_norm, norm_silu};

use super::{GROUPS, ones, zeros};
use crate::layers::{modulated_norm, plain_norm};

/// Normalisation in 32 groups of channels.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channel]`.
    weight: Param<Tensor<1>>,
    /// `[channel]`.
    bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl GroupNorm {
    /// Gain one, offset zero. `channels` must be a multiple of 32.
    pub fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            weight: ones(channels, device),
            bias: zeros(channels, device),
            epsilon,
        }
    }

    /// Normalised `x` `[batch, channel, token]`.
    pub fn forward_tokens(&self, x: Tensor<3>) -> Tensor<3> {
        let norm = self.plain(x.dims()[0]);
        group_norm(x.unsqueeze_dim(2), norm).squeeze_dim(2)
    }

    /// `silu(norm(x))`, `x`: `[batch, channel, height, width]`.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        let norm = self.plain(x.dims()[0]);
        norm_silu(x, norm)
    }

    /// The norm of a batch, for a convolution that applies it.
    pub fn plain(&self, batch: usize) -> Norm {
        let (gamma, beta) = (self.weight.val(), self.bias.val());
        plain_norm(gamma, beta, GROUPS, self.epsilon, batch)
    }

    /// `norm(x) * (1 + scale) + shift`; `scale`, `shift`: `[batch, channel]`.
    pub fn modulated(&self, scale: Tensor<2>, shift: Tensor<2>) -> Norm {
        let parameters = (self.weight.val(), self.bias.val());
        modulated_norm(parameters, (scale, shift), GROUPS, self.epsilon)
    }
}

/// Normalisation of the last axis, epsilon 1e-5.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[channel]`.
    weight: Param<Tensor<1>>,
    /// `[channel]`.
    bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// Gain one, offset zero.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: ones(channels, device),
            bias: zeros(channels, device),
        }
    }

    /// `[batch, token, channel]`, normalised.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        layer_norm(x, self.weight.val(), Some(self.bias.val()), 1e-5)
    }
}
