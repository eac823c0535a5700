//! The kernels as operations of burn's `flex` backend and of its autodiff decorator.

mod autodiff;
mod flex;
mod linear;

pub(crate) use self::flex::values;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};

/// An `Option` of a tensor, as a backend's extension can take it.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum Maybe<B: Backend> {
    None,
    Some(FloatTensor<B>),
}

impl<B: Backend> Maybe<B> {
    pub fn of(tensor: Option<FloatTensor<B>>) -> Self {
        tensor.map_or(Self::None, Self::Some)
    }

    pub fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::Some(tensor) => Some(tensor),
        }
    }
}

/// What the fused kernels ask of a backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait KernelOps: Backend {
    fn conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self>;

    fn group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f32,
        silu: bool,
    ) -> FloatTensor<Self>;

    /// The convolution of the normalised image, plus an offset `[batch, out]` and an image, where they are given.
    #[allow(clippy::too_many_arguments)]
    fn norm_silu_conv3x3(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f32,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] offset: Maybe<Self>,
        #[extension_type] residual: Maybe<Self>,
    ) -> FloatTensor<Self>;

    #[allow(clippy::too_many_arguments)]
    fn conv2d_affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        activated: bool,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self>;

    fn channel_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    fn upsample2(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn subsample2(x: FloatTensor<Self>, padding: usize) -> FloatTensor<Self>;

    fn join_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `[batch, head, depth, token]`, as the result.
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}
