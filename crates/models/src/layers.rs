//! Layers that several families share.

use crate::summary::Trace;
use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Initializer, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::{
    Norm, attention, channel_norm, conv2d, conv2d_affine, conv3x3, norm_silu_conv3x3,
};

/// A 3x3 convolution with stride 1 and padding 1, which keeps the image's size.
#[derive(Module, Debug)]
pub struct Conv3x3 {
    /// `[out, in, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Conv3x3 {
    /// Initialises weight and bias uniformly in `±1 / sqrt(9 in)`.
    pub fn new(channels_in: usize, channels_out: usize, device: &Device) -> Self {
        let bound = 1.0 / ((9 * channels_in) as f64).sqrt();
        let uniform = Initializer::Uniform {
            min: -bound,
            max: bound,
        };
        Self {
            weight: uniform.init([channels_out, channels_in, 3, 3], device),
            bias: uniform.init([channels_out], device),
        }
    }

    /// The same layer with all parameters zero: a branch that starts as nothing.
    #[must_use]
    pub fn zeroed(self) -> Self {
        let device = self.weight.lazy_device();
        let [o, i, h, w] = self.weight.lazy_shape().dims();
        Self {
            weight: Initializer::Zeros.init([o, i, h, w], &device),
            bias: Initializer::Zeros.init([o], &device),
        }
    }

    /// `[batch, in, h, w]` -> `[batch, out, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        conv3x3(x, self.weight.val(), self.bias.val())
    }

    /// `forward(silu(norm(x)))`, plus `offset` `[batch, out]` at every pixel and `residual` `[batch, out, h, w]`, where
    /// they are given: one pass over memory.
    pub fn forward_normed(
        &self,
        x: Tensor<4>,
        norm: Norm,
        offset: Option<Tensor<2>>,
        residual: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        norm_silu_conv3x3(x, norm, weight, bias, offset, residual)
    }
}

/// A square convolution without a bias (the batch norm behind it has one), padded by half its kernel: with stride 1
/// it keeps the image's size.
#[derive(Module, Debug)]
pub struct BareConv {
    /// `[out, in, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    stride: usize,
}

impl BareConv {
    /// Initialises the weight as normal with variance `2 / fan_in` (He et al. 2015). `kernel` is odd.
    pub fn new(
        channels_in: usize,
        channels_out: usize,
        kernel: usize,
        stride: usize,
        device: &Device,
    ) -> Self {
        let std = (2.0 / (kernel * kernel * channels_in) as f64).sqrt();
        Self {
            weight: Initializer::Normal { mean: 0.0, std }
                .init([channels_out, channels_in, kernel, kernel], device),
            stride,
        }
    }

    /// Counts its work on an image of `side` x `side`; the side of what comes out.
    pub fn trace(&self, side: usize, trace: &mut Trace) -> usize {
        let [channels_out, channels_in, kernel, _] = self.weight.lazy_shape().dims();
        let out = side.div_ceil(self.stride);
        trace.convolution(kernel, channels_in, channels_out, out * out);
        out
    }

    /// `[batch, in, h, w]` -> `[batch, out, ceil(h / stride), ceil(w / stride)]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (stride, padding) = self.geometry();
        conv2d(x, self.weight.val(), None, stride, padding)
    }

    /// Stride and padding.
    fn geometry(&self) -> ([usize; 2], [usize; 2]) {
        let [_, _, kernel, _] = self.weight.lazy_shape().dims();
        ([self.stride; 2], [kernel / 2; 2])
    }
}

/// A convolution of burn's by the kernels, after `padding` zeros on every side.
pub fn convolve(conv: &Conv2d, x: Tensor<4>, padding: usize) -> Tensor<4> {
    let bias = conv.bias.as_ref().map(|bias| bias.val());
    conv2d(x, conv.weight.val(), bias, conv.stride, [padding; 2])
}

/// `norm(conv(x)) + shortcut`, where there is a shortcut, and a ReLU where it is `activated`: one pass over memory as long as
/// the layers do not learn.
pub fn normed(
    conv: &BareConv,
    norm: &BatchNorm,
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    activated: bool,
) -> Tensor<4> {
    let (weight, gamma, beta) = (conv.weight.val(), norm.gamma.val(), norm.beta.val());
    let learning = x.device().is_autodiff() && norm.training.is_enabled()
        || [
            weight.is_require_grad(),
            gamma.is_require_grad(),
            beta.is_require_grad(),
        ]
        .contains(&true);
    if learning {
        let mut h = norm.forward(conv.forward(x));
        if let Some(shortcut) = shortcut {
            h = h + shortcut;
        }
        return if activated { relu(h) } else { h };
    }
    let (mean, variance) = (norm.running_mean.value(), norm.running_var.value());
    let scale = gamma / (variance + norm.epsilon).sqrt();
    let shift = beta - mean * scale.clone();
    let (stride, padding) = conv.geometry();
    conv2d_affine(
        x, weight, scale, shift, shortcut, activated, stride, padding,
    )
}

/// Mean over space: `[batch, channel, h, w]` -> `[batch, channel]`.
pub fn average_pool(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, _, _] = x.dims();
    x.reshape([batch as i32, channels as i32, -1])
        .mean_dim(2)
        .reshape([batch, channels])
}

/// Counts the work of a linear layer on one row.
pub fn trace_linear(linear: &Linear, trace: &mut Trace) {
    let [inputs, outputs] = linear.weight.lazy_shape().dims();
    trace.layer(inputs * outputs, inputs + outputs);
}

/// Weight `[out, in]` and bias `[out]` of a linear layer; zeros where it has no bias.
pub fn linear_parameters(linear: &Linear) -> (Tensor<2>, Tensor<1>) {
    let bias = linear.bias.as_ref().map(|bias| bias.val());
    let weight = linear.weight.val();
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[1]], &weight.device()));
    (weight.transpose(), bias)
}

/// The parameters of a GroupNorm (epsilon 1e-5) that a convolution applies as it reads, SiLU included
/// ([`Conv3x3::forward_normed`]).
#[derive(Module, Debug)]
pub struct NormSilu {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    groups: usize,
}

impl NormSilu {
    const EPSILON: f64 = 1e-5;

    /// `channels` must be a multiple of `groups`.
    pub fn new(groups: usize, channels: usize, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            groups,
        }
    }

    /// The norm of a batch.
    pub fn plain(&self, batch: usize) -> Norm {
        plain_norm(
            self.gamma.val(),
            self.beta.val(),
            self.groups,
            Self::EPSILON,
            batch,
        )
    }

    /// `norm(x) * (1 + scale) + shift`; `scale`, `shift`: `[batch, channel]`.
    pub fn modulated(&self, scale: Tensor<2>, shift: Tensor<2>) -> Norm {
        let parameters = (self.gamma.val(), self.beta.val());
        modulated_norm(parameters, (scale, shift), self.groups, Self::EPSILON)
    }
}

/// A norm with the same `gamma` and `beta`, `[channel]`, for each image of a batch.
pub fn plain_norm(
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    epsilon: f64,
    batch: usize,
) -> Norm {
    let row = |values: Tensor<1>| {
        let channels = values.dims()[0];
        values.unsqueeze::<2>().expand([batch, channels])
    };
    Norm {
        scale: row(gamma),
        shift: row(beta),
        groups,
        epsilon,
    }
}

/// `norm(x) * (1 + scale) + shift` as one norm; gamma and beta `[channel]`, `scale` and `shift` `[batch, channel]`.
pub fn modulated_norm(
    (gamma, beta): (Tensor<1>, Tensor<1>),
    (scale, shift): (Tensor<2>, Tensor<2>),
    groups: usize,
    epsilon: f64,
) -> Norm {
    let factor = scale + 1.0;
    Norm {
        shift: beta.unsqueeze::<2>() * factor.clone() + shift,
        scale: gamma.unsqueeze::<2>() * factor,
        groups,
        epsilon,
    }
}

/// Residual self-attention over the pixels of a small image, on a layer-normalised input.
#[derive(Module, Debug)]
pub struct SelfAttention {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    qkv: Linear,
    out: Linear,
    heads: usize,
}

impl SelfAttention {
    /// `channels` must be a multiple of `heads`; the output projection starts as zero.
    pub fn new(channels: usize, heads: usize, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            qkv: LinearConfig::new(channels, 3 * channels).init(device),
            out: LinearConfig::new(channels, channels)
                .with_initializer(Initializer::Zeros)
                .init(device),
            heads,
        }
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// `x + out(attention(norm(x)))`, `x`: `[batch, channel, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let (tokens, depth) = (height * width, channels / self.heads);
        let h = channel_norm(
            x.clone().reshape([batch, channels, tokens]),
            self.gamma.val(),
            self.beta.val(),
            1e-5,
        )
        .unsqueeze_dim::<4>(3);
        // The linear layers as 1x1 convolutions, so that pixels stay beside each other and nothing is turned round.
        let linear = |h: Tensor<4>, layer: &Linear, part: usize| {
            let rows = |values: Tensor<2>| values.narrow(0, part * channels, channels);
            let (weight, bias) = linear_parameters(layer);
            let weight = rows(weight).unsqueeze_dims::<4>(&[2, 3]);
            let bias = bias.narrow(0, part * channels, channels);
            conv2d(h, weight, Some(bias), [1, 1], [0, 0])
        };
        let [q, k, v] = [0, 1, 2].map(|part| {
            linear(h.clone(), &self.qkv, part)
                .reshape([batch, self.heads, depth, tokens])
                .swap_dims(2, 3)
        });
        let h = attention(q, k, v)
            .swap_dims(2, 3)
            .reshape([batch, channels, height, width]);
        x + linear(h, &self.out, 0)
    }
}

/// Sinusoidal embedding of a (possibly fractional) step, cosines first, frequencies `10000^(-i/half)`:
/// `[batch]` -> `[batch, dim]` (guided-diffusion's convention).
pub fn sinusoid_cos_first(t: Tensor<1>, dim: usize) -> Tensor<2> {
    let half = dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| (-(10_000f64.ln()) * i as f64 / half as f64).exp() as f32)
        .collect();
    let frequencies =
        Tensor::<1>::from_floats(frequencies.as_slice(), &t.device()).unsqueeze_dim::<2>(0);
    let angles = t.unsqueeze_dim::<2>(1) * frequencies;
    Tensor::cat(vec![angles.clone().cos(), angles.sin()], 1)
}

/// Folds squares of `patch` x `patch` pixels into channels: `[b, c, h, w]` -> `[b, c * patch^2, h / patch, w / patch]`.
pub fn space_to_depth(x: Tensor<4>, patch: usize) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h / patch, patch, w / patch, patch])
        .permute([0, 1, 3, 5, 2, 4])
        .reshape([b, c * patch * patch, h / patch, w / patch])
}

/// The inverse of [`space_to_depth`].
pub fn depth_to_space(x: Tensor<4>, patch: usize) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c / (patch * patch), patch, patch, h, w])
        .permute([0, 1, 4, 2, 5, 3])
        .reshape([b, c / (patch * patch), h * patch, w * patch])
}
