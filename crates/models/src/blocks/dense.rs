//! A linear layer with its weight as PyTorch stores it.

use burn::module::{Module, Param};
use burn::tensor::module::linear;
use burn::tensor::{Device, Tensor};
use diffguard_kernels::{ROWS, linear_rows};

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

    /// `[batch, …, in]` -> `[batch, …, out]`. A sample's result does not depend on the batch.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(|bias| bias.val()));
        let mut shape = x.dims();
        let [inputs, outputs] = [shape[D - 1], weight.dims()[0]];
        // Samples of many rows are summed in one order, whether burn multiplies them one by one or all together.
        let rows: usize = shape[1..D - 1].iter().product();
        if rows >= ROWS {
            return linear(x, weight.transpose(), bias);
        }
        let all = shape[0] * rows;
        shape[D - 1] = outputs;
        linear_rows(x.reshape([all, inputs]), weight, bias).reshape(shape)
    }

    /// Numbers in the weight, which is also the multiplications of one row.
    pub fn size(&self) -> usize {
        self.weight.lazy_shape().num_elements()
    }
}
