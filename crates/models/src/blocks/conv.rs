//! Convolutions beside the 3x3 one of [`crate::layers`].

use burn::module::{Module, Param};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::conv2d;

use super::{uniform, zeros};

/// A 1x1 convolution: a matrix product over channels.
#[derive(Module, Debug)]
pub struct Conv1x1 {
    /// `[out, in, 1, 1]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Param<Tensor<1>>,
}

impl Conv1x1 {
    /// Weight uniform, bias zero.
    pub fn new(from: usize, to: usize, device: &Device) -> Self {
        Self {
            weight: uniform([to, from, 1, 1], device),
            bias: zeros(to, device),
        }
    }

    /// `[batch, in, h, w]` -> `[batch, out, h, w]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = Some(self.bias.val());
        conv2d(x, self.weight.val(), bias, [1, 1], [0, 0])
    }

    /// `[batch, in, token]` -> `[batch, out, token]`.
    pub fn forward_tokens(&self, x: Tensor<3>) -> Tensor<3> {
        self.forward(x.unsqueeze_dim(2)).squeeze_dim(2)
    }
}

/// A convolution of kernel size 1 over tokens (PyTorch's `Conv1d`).
#[derive(Module, Debug)]
pub struct TokenConv {
    /// `[out, in, 1]`.
    weight: Param<Tensor<3>>,
    /// `[out]`.
    bias: Param<Tensor<1>>,
}

impl TokenConv {
    /// Weight uniform, bias zero.
    pub fn new(from: usize, to: usize, device: &Device) -> Self {
        Self {
            weight: uniform([to, from, 1], device),
            bias: zeros(to, device),
        }
    }

    /// `[batch, in, token]` -> `[batch, out, token]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let weight = self.weight.val().unsqueeze_dim(3);
        let bias = Some(self.bias.val());
        let y: Tensor<4> = conv2d(x.unsqueeze_dim(2), weight, bias, [1, 1], [0, 0]);
        y.squeeze_dim(2)
    }
}

/// Where the zeros around the image of a halving convolution lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// One row and column on every side (guided and latent diffusion).
    Around,
    /// One column on the right and one row at the bottom (DDIM, VQ).
    RightBottom,
}

/// A 3x3 convolution with stride 2.
#[derive(Module, Debug)]
pub struct Downsample {
    /// `[out, in, 3, 3]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    edge: Edge,
}

impl Downsample {
    /// Weight uniform, bias zero.
    pub fn new(channels: usize, edge: Edge, device: &Device) -> Self {
        Self {
            weight: uniform([channels, channels, 3, 3], device),
            bias: zeros(channels, device),
            edge,
        }
    }

    /// `[batch, channel, h, w]` -> `[batch, channel, h / 2, w / 2]`, `h` and `w` even.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (x, padding) = match self.edge {
            Edge::Around => (x, 1),
            Edge::RightBottom => (x.pad([(0, 1), (0, 1)], PadMode::Constant(0.0)), 0),
        };
        let bias = Some(self.bias.val());
        conv2d(x, self.weight.val(), bias, [2, 2], [padding, padding])
    }
}
