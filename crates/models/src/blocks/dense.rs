//! A linear layer with its weight as PyTorch stores it.

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};

use super::{uniform, zeros};

/// `x * weight^T + bias`.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[out, in]`.
    weight: Param<Tensor<2>>,
    /// `[out]`.
    bias: Option<Param<Tensor<1>>>,
}

impl Dense {
    /// Weight uniform, bias zero.
    pub fn new(from: usize, to: usize, device: &Device) -> Self {
        Self {
            weight: uniform([to, from], device),
            bias: Some(zeros(to, device)),
        }
    }

    /// A layer without a bias.
    pub fn without_bias(from: usize, to: usize, device: &Device) -> Self {
        Self {
            weight: uniform([to, from], device),
            bias: None,
        }
    }

    /// `[…, in]` -> `[…, out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        linear(x, self.weight.val().transpose(), bias)
    }

    /// Numbers in the weight, which is also the multiplications of one row.
    pub fn size(&self) -> usize {
        self.weight.lazy_shape().num_elements()
    }
}
