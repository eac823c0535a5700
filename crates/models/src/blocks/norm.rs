//! Normalisations.

use burn::module::{Module, Param};
use burn::tensor::module::layer_norm;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::norm_silu;

use super::{GROUPS, ones, zeros};

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
        let [batch, channels, tokens] = x.dims();
        let grouped = x.reshape([batch, GROUPS, channels / GROUPS * tokens]);
        let centred = grouped.clone() - grouped.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let normal = centred / (variance + self.epsilon).sqrt();
        let column = |values: Tensor<1>| values.reshape([1, channels, 1]);
        normal.reshape([batch, channels, tokens]) * column(self.weight.val())
            + column(self.bias.val())
    }

    /// `silu(norm(x))`, `x`: `[batch, channel, height, width]`.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, _, _] = x.dims();
        let row = |values: Tensor<1>| values.unsqueeze::<2>().expand([batch, channels]);
        let (gain, offset) = (row(self.weight.val()), row(self.bias.val()));
        norm_silu(x, gain, offset, GROUPS, self.epsilon)
    }

    /// `silu(norm(x) * (1 + scale) + shift)`; `scale`, `shift`: `[batch, channel]`.
    pub fn forward_silu_modulated(
        &self,
        x: Tensor<4>,
        scale: Tensor<2>,
        shift: Tensor<2>,
    ) -> Tensor<4> {
        let factor = scale + 1.0;
        let offset = self.bias.val().unsqueeze::<2>() * factor.clone() + shift;
        let gain = self.weight.val().unsqueeze::<2>() * factor;
        norm_silu(x, gain, offset, GROUPS, self.epsilon)
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
