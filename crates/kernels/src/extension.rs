//! The kernels as operations of burn's `flex` backend and of its autodiff decorator.

use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, ExtensionType, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

use crate::around::Around;
use crate::norm_silu::Normalise;
use crate::simd::vectorised;
use crate::transformed::{Form, kept};
use crate::winograd::{Tile, Weights};
use crate::{attention, bf16, channel_norm, conv2d, conv3x3, norm_silu, upsample};

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

    fn into_option(self) -> Option<FloatTensor<B>> {
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

    /// `[batch, head, depth, token]`, as the result.
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

type Primitive = FloatTensor<Flex>;

/// The tensor's values, row-major; a copy only where the layout asks for one.
fn contiguous(tensor: &Primitive) -> Primitive {
    assert_eq!(tensor.dtype(), DType::F32, "the CPU kernels compute in f32");
    if tensor.as_slice::<f32>().is_some() {
        tensor.clone()
    } else {
        tensor.to_contiguous()
    }
}

fn values(tensor: &Primitive) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous f32 above")
}

fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape.into()))
}

fn conv_shape(x: &Primitive, weight: &Primitive) -> conv3x3::Shape {
    let [batch, channels_in, height, width] = x.shape().dims();
    let [channels_out, weight_in, kh, kw] = weight.shape().dims();
    assert_eq!(
        (weight_in, kh, kw),
        (channels_in, 3, 3),
        "conv3x3: weight does not fit the input"
    );
    conv3x3::Shape {
        batch,
        channels_in,
        channels_out,
        height,
        width,
    }
}

fn general_shape(
    x: &Primitive,
    weight: &Primitive,
    stride: [usize; 2],
    padding: [usize; 2],
) -> conv2d::Shape {
    let [batch, channels_in, height, width] = x.shape().dims();
    let [channels_out, weight_in, kh, kw] = weight.shape().dims();
    assert_eq!(
        weight_in, channels_in,
        "conv2d: weight does not fit the input"
    );
    conv2d::Shape {
        batch,
        channels_in,
        channels_out,
        input: [height, width],
        kernel: [kh, kw],
        stride,
        padding,
    }
}

/// Transformed weights: kept for the next call where they are `constant`.
fn transformed(
    weight: &Primitive,
    shape: conv3x3::Shape,
    constant: bool,
    turned: bool,
) -> impl FnOnce(Tile) -> Arc<Weights> {
    let channels = (shape.channels_in, shape.channels_out);
    move |tile| {
        let make = || Weights::of(values(weight), channels, tile, turned);
        let form = Form::Winograd {
            tile,
            turned,
            rounded: false,
        };
        match constant {
            true => kept(weight, values(weight), channels, form, make),
            false => Arc::new(make()),
        }
    }
}

/// Whether a convolution takes its input through [`Around::before`].
fn takes_before(shape: &conv2d::Shape, constant: bool) -> bool {
    match constant && bf16::wanted(shape) {
        true => bf16::has_tiles(),
        false => shape.as_conv3x3().is_some_and(|s| s.tile().is_some()),
    }
}

/// A convolution on bfloat16 values of weights that are not being learnt; all contiguous.
fn bf16_forward(
    x: &Primitive,
    weight: &Primitive,
    around: Around<'_>,
    shape: conv2d::Shape,
) -> Vec<f32> {
    let channels = (shape.channels_in, shape.channels_out);
    #[cfg(target_arch = "x86_64")]
    if bf16::has_tiles() {
        let packed = kept(weight, values(weight), channels, Form::Tiles, || {
            bf16::Packed::of(values(weight), channels.0, channels.1)
        });
        return bf16::forward(values(x), &packed, around, &shape);
    }
    let (x, rounded) = (bf16::rounded(values(x)), bf16::rounded(values(weight)));
    match shape.as_conv3x3() {
        Some(shape) => conv3x3::forward(&x, &rounded, around, shape, |tile| {
            let form = Form::Winograd {
                tile,
                turned: false,
                rounded: true,
            };
            kept(weight, values(weight), channels, form, || {
                Weights::of(&rounded, channels, tile, false)
            })
        }),
        None => conv2d::forward(&x, &rounded, around, shape),
    }
}

/// A 3x3 convolution on the CPU; `constant` says that the weights are not being learnt. `x` and `weight` are contiguous.
fn conv3x3_forward(
    x: &Primitive,
    weight: &Primitive,
    around: Around<'_>,
    constant: bool,
) -> Primitive {
    let shape = conv_shape(x, weight);
    let general = general_shape(x, weight, [1, 1], [1, 1]);
    let y = match constant && bf16::wanted(&general) {
        true => bf16_forward(x, weight, around, general),
        false => conv3x3::forward(
            values(x),
            values(weight),
            around,
            shape,
            transformed(weight, shape, constant, false),
        ),
    };
    tensor(
        y,
        [shape.batch, shape.channels_out, shape.height, shape.width],
    )
}

/// Any convolution on the CPU of weights that are not being learnt, as far as it is not one for [`conv3x3_forward`].
fn conv2d_forward(
    x: &Primitive,
    weight: &Primitive,
    around: Around<'_>,
    shape: conv2d::Shape,
) -> Primitive {
    let y = match bf16::wanted(&shape) {
        true => bf16_forward(x, weight, around, shape),
        false => conv2d::forward(values(x), values(weight), around, shape),
    };
    let [height, width] = shape.output();
    tensor(y, [shape.batch, shape.channels_out, height, width])
}

/// [`conv3x3_forward`] with a bias alone.
fn conv3x3_biased(x: Primitive, weight: Primitive, bias: Primitive, constant: bool) -> Primitive {
    let bias = contiguous(&bias);
    let around = Around::biased(values(&bias));
    conv3x3_forward(&contiguous(&x), &contiguous(&weight), around, constant)
}

/// `dy` where the result of a ReLU is positive, zero elsewhere.
fn where_positive(dy: &[f32], y: &[f32]) -> Vec<f32> {
    const PIECE: usize = 16 << 10;
    let mut cut = dy.to_vec();
    cut.par_chunks_mut(PIECE)
        .zip(y.par_chunks(PIECE))
        .for_each(|(cut, y)| {
            vectorised(
                #[inline(always)]
                || {
                    for (cut, y) in cut.iter_mut().zip(y) {
                        *cut = if *y > 0.0 { *cut } else { 0.0 };
                    }
                },
            );
        });
    cut
}

fn norm_shape(x: &Primitive, groups: usize, epsilon: f32, silu: bool) -> norm_silu::Shape {
    let [batch, channels, height, width] = x.shape().dims();
    assert_eq!(
        channels % groups,
        0,
        "norm_silu: {channels} channels do not split into {groups} groups"
    );
    norm_silu::Shape {
        batch,
        channels,
        pixels: height * width,
        groups,
        epsilon,
        silu,
    }
}

fn channel_shape(x: &Primitive, gamma: &Primitive, epsilon: f32) -> channel_norm::Shape {
    let [_, channels, tokens] = x.shape().dims();
    assert_eq!(gamma.shape().dims(), [channels], "channel_norm: gamma");
    channel_norm::Shape {
        channels,
        tokens,
        epsilon,
    }
}

fn attention_shape(q: &Primitive, k: &Primitive, v: &Primitive) -> attention::Shape {
    let [batch, heads, depth, queries] = q.shape().dims();
    let [.., keys] = k.shape().dims::<4>();
    assert_eq!(
        (k.shape().dims(), v.shape().dims()),
        ([batch, heads, depth, keys], [batch, heads, depth, keys]),
        "attention: keys and values do not fit the queries"
    );
    attention::Shape {
        depth,
        queries,
        keys,
    }
}

/// [`conv3x3_forward`] of weights that are not being learnt.
fn with_addends(
    x: Primitive,
    weight: Primitive,
    bias: Primitive,
    (offset, residual): (Option<Primitive>, Option<Primitive>),
    before: Option<Normalise<'_>>,
) -> Primitive {
    let [batch, _, height, width] = x.shape().dims();
    let [out, ..] = weight.shape().dims::<4>();
    let (x, weight, bias) = (contiguous(&x), contiguous(&weight), contiguous(&bias));
    let [offset, residual] = [offset, residual].map(|extra| extra.as_ref().map(contiguous));
    if let Some(offset) = &offset {
        assert_eq!(offset.shape().dims(), [batch, out], "conv3x3: offset");
    }
    if let Some(residual) = &residual {
        let dims = [batch, out, height, width];
        assert_eq!(residual.shape().dims(), dims, "conv3x3: residual");
    }
    let around = Around {
        before,
        bias: Some(values(&bias)),
        offset: offset.as_ref().map(values),
        residual: residual.as_ref().map(values),
        ..Around::default()
    };
    conv3x3_forward(&x, &weight, around, true)
}

impl KernelOps for Flex {
    fn conv3x3(x: Primitive, weight: Primitive, bias: Primitive) -> Primitive {
        conv3x3_biased(x, weight, bias, true)
    }

    fn conv2d(
        x: Primitive,
        weight: Primitive,
        bias: Primitive,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Primitive {
        let shape = general_shape(&x, &weight, stride, padding);
        let (x, weight, bias) = (contiguous(&x), contiguous(&weight), contiguous(&bias));
        conv2d_forward(&x, &weight, Around::biased(values(&bias)), shape)
    }

    fn group_norm(
        x: Primitive,
        scale: Primitive,
        shift: Primitive,
        groups: usize,
        epsilon: f32,
        silu: bool,
    ) -> Primitive {
        let shape = norm_shape(&x, groups, epsilon, silu);
        let (x, scale, shift) = (contiguous(&x), contiguous(&scale), contiguous(&shift));
        let dims: [usize; 4] = x.shape().dims();
        tensor(
            norm_silu::forward(values(&x), values(&scale), values(&shift), shape),
            dims,
        )
    }

    fn norm_silu_conv3x3(
        x: Primitive,
        scale: Primitive,
        shift: Primitive,
        groups: usize,
        epsilon: f32,
        weight: Primitive,
        bias: Primitive,
        offset: Maybe<Self>,
        residual: Maybe<Self>,
    ) -> Primitive {
        let addends = (offset.into_option(), residual.into_option());
        let general = general_shape(&x, &weight, [1, 1], [1, 1]);
        if !takes_before(&general, true) {
            let x = Self::group_norm(x, scale, shift, groups, epsilon, true);
            return with_addends(x, weight, bias, addends, None);
        }
        let (scale, shift) = (contiguous(&scale), contiguous(&shift));
        let before = Normalise {
            scale: values(&scale),
            shift: values(&shift),
            shape: norm_shape(&x, groups, epsilon, true),
        };
        with_addends(x, weight, bias, addends, Some(before))
    }

    fn conv2d_affine(
        x: Primitive,
        weight: Primitive,
        scale: Primitive,
        shift: Primitive,
        residual: Maybe<Self>,
        activated: bool,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Primitive {
        let shape = general_shape(&x, &weight, stride, padding);
        let [x, weight, scale, shift] = [x, weight, scale, shift].map(|t| contiguous(&t));
        let residual = residual.into_option().map(|residual| contiguous(&residual));
        if let Some(residual) = &residual {
            let [height, width] = shape.output();
            let dims = [shape.batch, shape.channels_out, height, width];
            assert_eq!(residual.shape().dims(), dims, "conv2d: residual");
        }
        let around = Around {
            scale: Some(values(&scale)),
            bias: Some(values(&shift)),
            residual: residual.as_ref().map(values),
            relu: activated,
            ..Around::default()
        };
        match shape.as_conv3x3() {
            Some(_) => conv3x3_forward(&x, &weight, around, true),
            None => conv2d_forward(&x, &weight, around, shape),
        }
    }

    fn channel_norm(x: Primitive, gamma: Primitive, beta: Primitive, epsilon: f32) -> Primitive {
        let shape = channel_shape(&x, &gamma, epsilon);
        let [x, gamma, beta] = [x, gamma, beta].map(|t| contiguous(&t));
        let dims: [usize; 3] = x.shape().dims();
        let y = channel_norm::forward(values(&x), values(&gamma), values(&beta), shape);
        tensor(y, dims)
    }

    fn upsample2(x: Primitive) -> Primitive {
        let [batch, channels, height, width] = x.shape().dims();
        let y = upsample::forward(values(&contiguous(&x)), width);
        tensor(y, [batch, channels, 2 * height, 2 * width])
    }

    fn attention(q: Primitive, k: Primitive, v: Primitive) -> Primitive {
        let shape = attention_shape(&q, &k, &v);
        let (q, k, v) = (contiguous(&q), contiguous(&k), contiguous(&v));
        let dims: [usize; 4] = q.shape().dims();
        tensor(
            attention::forward(values(&q), values(&k), values(&v), shape),
            dims,
        )
    }
}

impl<C: CheckpointStrategy> KernelOps for Autodiff<Flex, C> {
    fn conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv3x3;

        impl Backward<Flex, 3> for Conv3x3 {
            type State = (NodeId, NodeId, bool);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [node_x, node_weight, node_bias] = ops.parents;
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let x = contiguous(&checkpointer.retrieve_node_output::<Primitive>(ops.state.0));
                let weight =
                    contiguous(&checkpointer.retrieve_node_output::<Primitive>(ops.state.1));
                let shape = conv_shape(&x, &weight);
                if let Some(node) = node_x {
                    let dx = conv3x3::input_gradient(
                        values(&dy),
                        values(&weight),
                        shape,
                        transformed(&weight, shape, ops.state.2, true),
                    );
                    let dims = [shape.batch, shape.channels_in, shape.height, shape.width];
                    grads.register::<Flex>(node.id, tensor(dx, dims));
                }
                if node_weight.is_some() || node_bias.is_some() {
                    let (dw, db) = conv3x3::weight_gradient(values(&x), values(&dy), shape);
                    if let Some(node) = node_weight {
                        let dims = [shape.channels_out, shape.channels_in, 3, 3];
                        grads.register::<Flex>(node.id, tensor(dw, dims));
                    }
                    if let Some(node) = node_bias {
                        grads.register::<Flex>(node.id, tensor(db, [shape.channels_out]));
                    }
                }
            }
        }

        let constant = !weight.is_tracked();
        match Conv3x3
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), constant);
                prep.finish(
                    state,
                    conv3x3_biased(
                        x.into_primitive(),
                        weight.into_primitive(),
                        bias.into_primitive(),
                        constant,
                    ),
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::conv3x3(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
            )),
        }
    }

    fn conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv2d;

        impl Backward<Flex, 3> for Conv2d {
            type State = (NodeId, NodeId, [usize; 2], [usize; 2]);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [node_x, node_weight, node_bias] = ops.parents;
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, weight, stride, padding) = ops.state;
                let x = contiguous(&checkpointer.retrieve_node_output::<Primitive>(x));
                let weight = contiguous(&checkpointer.retrieve_node_output::<Primitive>(weight));
                let shape = general_shape(&x, &weight, stride, padding);
                if let Some(node) = node_x {
                    let dx = conv2d::input_gradient(values(&dy), values(&weight), shape);
                    let [height, width] = shape.input;
                    let dims = [shape.batch, shape.channels_in, height, width];
                    grads.register::<Flex>(node.id, tensor(dx, dims));
                }
                if node_weight.is_some() || node_bias.is_some() {
                    let (dw, db) = conv2d::weight_gradient(values(&x), values(&dy), shape);
                    if let Some(node) = node_weight {
                        let dims: [usize; 4] = weight.shape().dims();
                        grads.register::<Flex>(node.id, tensor(dw, dims));
                    }
                    if let Some(node) = node_bias {
                        grads.register::<Flex>(node.id, tensor(db, [shape.channels_out]));
                    }
                }
            }
        }

        match Conv2d
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = (
                    prep.checkpoint(&x),
                    prep.checkpoint(&weight),
                    stride,
                    padding,
                );
                prep.finish(
                    state,
                    Flex::conv2d(
                        x.into_primitive(),
                        weight.into_primitive(),
                        bias.into_primitive(),
                        stride,
                        padding,
                    ),
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::conv2d(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
                stride,
                padding,
            )),
        }
    }

    fn group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f32,
        silu: bool,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GroupNorm;

        impl Backward<Flex, 3> for GroupNorm {
            type State = (NodeId, NodeId, NodeId, usize, f32, bool);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [node_x, node_scale, node_shift] = ops.parents;
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, scale, shift, groups, epsilon, silu) = ops.state;
                let x = contiguous(&checkpointer.retrieve_node_output::<Primitive>(x));
                let scale = contiguous(&checkpointer.retrieve_node_output::<Primitive>(scale));
                let shift = contiguous(&checkpointer.retrieve_node_output::<Primitive>(shift));
                let shape = norm_shape(&x, groups, epsilon, silu);
                let dims: [usize; 4] = x.shape().dims();
                let (dx, dscale, dshift) = norm_silu::backward(
                    values(&x),
                    values(&scale),
                    values(&shift),
                    values(&dy),
                    shape,
                );
                if let Some(node) = node_x {
                    grads.register::<Flex>(node.id, tensor(dx, dims));
                }
                if let Some(node) = node_scale {
                    grads.register::<Flex>(node.id, tensor(dscale, [shape.batch, shape.channels]));
                }
                if let Some(node) = node_shift {
                    grads.register::<Flex>(node.id, tensor(dshift, [shape.batch, shape.channels]));
                }
            }
        }

        match GroupNorm
            .prepare::<C>([x.node(), scale.node(), shift.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = (
                    prep.checkpoint(&x),
                    prep.checkpoint(&scale),
                    prep.checkpoint(&shift),
                    groups,
                    epsilon,
                    silu,
                );
                prep.finish(
                    state,
                    Flex::group_norm(
                        x.into_primitive(),
                        scale.into_primitive(),
                        shift.into_primitive(),
                        groups,
                        epsilon,
                        silu,
                    ),
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::group_norm(
                x.into_primitive(),
                scale.into_primitive(),
                shift.into_primitive(),
                groups,
                epsilon,
                silu,
            )),
        }
    }

    fn norm_silu_conv3x3(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f32,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        offset: Maybe<Self>,
        residual: Maybe<Self>,
    ) -> FloatTensor<Self> {
        // The gradient needs what the norm gives, so there is nothing to fuse.
        let h = Self::group_norm(x, scale, shift, groups, epsilon, true);
        let mut y = Self::conv3x3(h, weight, bias);
        if let Maybe::Some(offset) = offset {
            let [batch, channels] = offset.shape().dims();
            let offset = Self::float_reshape(offset, [batch, channels, 1, 1].into());
            y = Self::float_add(y, offset);
        }
        match residual {
            Maybe::Some(residual) => Self::float_add(y, residual),
            Maybe::None => y,
        }
    }

    fn conv2d_affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: Maybe<Self>,
        activated: bool,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        /// What the gradient needs; the result where a ReLU cuts it.
        #[derive(Clone, Debug)]
        struct Kept {
            weight: Primitive,
            scale: Primitive,
            result: Option<Primitive>,
            shape: conv2d::Shape,
        }

        #[derive(Debug)]
        struct Conv2dAffine;

        // Parents: the image, and the residual where there is one.
        impl<const N: usize> Backward<Flex, N> for Conv2dAffine {
            type State = Kept;

            fn backward(
                self,
                ops: Ops<Self::State, N>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let dims: [usize; 4] = dy.shape().dims();
                let Kept {
                    weight,
                    scale,
                    result,
                    shape,
                } = ops.state;
                let cut = match &result {
                    Some(result) => tensor(where_positive(values(&dy), values(result)), dims),
                    None => dy,
                };
                let mut parents = ops.parents.into_iter();
                if let Some(node) = parents.next().flatten() {
                    let mut d = values(&cut).to_vec();
                    let scaled = Around {
                        scale: Some(values(&scale)),
                        ..Around::default()
                    };
                    scaled.finish(&mut d, (dims[1], dims[2] * dims[3]));
                    let dx = match shape.as_conv3x3() {
                        Some(shape) => conv3x3::input_gradient(
                            &d,
                            values(&weight),
                            shape,
                            transformed(&weight, shape, true, true),
                        ),
                        None => conv2d::input_gradient(&d, values(&weight), shape),
                    };
                    let [height, width] = shape.input;
                    let dims = [shape.batch, shape.channels_in, height, width];
                    grads.register::<Flex>(node.id, tensor(dx, dims));
                }
                if let Some(node) = parents.next().flatten() {
                    grads.register::<Flex>(node.id, cut);
                }
            }
        }

        let learnt = weight.is_tracked() || scale.is_tracked() || shift.is_tracked();
        assert!(!learnt, "conv2d_affine: its weights are taken as constant");
        let [weight, scale, shift] =
            [weight, scale, shift].map(|t: FloatTensor<Self>| t.into_primitive());
        let weight = contiguous(&weight);
        let (node, x) = (x.node(), x.into_primitive());
        let shape = general_shape(&x, &weight, stride, padding);
        let forward = |residual: Option<Primitive>| {
            let (weight, scale, shift) = (weight.clone(), scale.clone(), shift.clone());
            let residual = Maybe::of(residual);
            Flex::conv2d_affine(
                x, weight, scale, shift, residual, activated, stride, padding,
            )
        };
        let kept = |y: &Primitive| Kept {
            weight: weight.clone(),
            scale: contiguous(&scale),
            result: activated.then(|| y.clone()),
            shape,
        };
        match residual {
            Maybe::None => match Conv2dAffine.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let y = forward(None);
                    prep.finish(kept(&y), y)
                }
                OpsKind::UnTracked(prep) => prep.finish(forward(None)),
            },
            Maybe::Some(residual) => match Conv2dAffine
                .prepare::<C>([node, residual.node()])
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(prep) => {
                    let y = forward(Some(residual.into_primitive()));
                    prep.finish(kept(&y), y)
                }
                OpsKind::UnTracked(prep) => prep.finish(forward(Some(residual.into_primitive()))),
            },
        }
    }

    fn channel_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ChannelNorm;

        impl Backward<Flex, 3> for ChannelNorm {
            type State = (NodeId, NodeId, f32);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [node_x, node_gamma, node_beta] = ops.parents;
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, gamma, epsilon) = ops.state;
                let x = contiguous(&checkpointer.retrieve_node_output::<Primitive>(x));
                let gamma = contiguous(&checkpointer.retrieve_node_output::<Primitive>(gamma));
                let shape = channel_shape(&x, &gamma, epsilon);
                let (dx, dgamma, dbeta) =
                    channel_norm::backward(values(&x), values(&gamma), values(&dy), shape);
                if let Some(node) = node_x {
                    let dims: [usize; 3] = x.shape().dims();
                    grads.register::<Flex>(node.id, tensor(dx, dims));
                }
                for (node, gradient) in [(node_gamma, dgamma), (node_beta, dbeta)] {
                    if let Some(node) = node {
                        grads.register::<Flex>(node.id, tensor(gradient, [shape.channels]));
                    }
                }
            }
        }

        match ChannelNorm
            .prepare::<C>([x.node(), gamma.node(), beta.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&gamma), epsilon);
                let [x, gamma, beta] =
                    [x, gamma, beta].map(|t: FloatTensor<Self>| t.into_primitive());
                prep.finish(state, Flex::channel_norm(x, gamma, beta, epsilon))
            }
            OpsKind::UnTracked(prep) => {
                let [x, gamma, beta] =
                    [x, gamma, beta].map(|t: FloatTensor<Self>| t.into_primitive());
                prep.finish(Flex::channel_norm(x, gamma, beta, epsilon))
            }
        }
    }

    fn upsample2(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Upsample2;

        impl Backward<Flex, 1> for Upsample2 {
            type State = [usize; 4];

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let [node] = ops.parents;
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                if let Some(node) = node {
                    let dx = upsample::backward(values(&dy), ops.state[3]);
                    grads.register::<Flex>(node.id, tensor(dx, ops.state));
                }
            }
        }

        let dims: [usize; 4] = x.shape().dims();
        match Upsample2
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish(dims, Flex::upsample2(x.into_primitive())),
            OpsKind::UnTracked(prep) => prep.finish(Flex::upsample2(x.into_primitive())),
        }
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Attention;

        impl Backward<Flex, 3> for Attention {
            type State = [NodeId; 3];

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let inputs: [Primitive; 3] = ops.state.map(|input| {
                    contiguous(&checkpointer.retrieve_node_output::<Primitive>(input))
                });
                let [q, k, v] = &inputs;
                let shape = attention_shape(q, k, v);
                let (dq, dk, dv) =
                    attention::backward(values(q), values(k), values(v), values(&dy), shape);
                for ((parent, input), gradient) in ops.parents.iter().zip(&inputs).zip([dq, dk, dv])
                {
                    if let Some(node) = parent {
                        let dims: [usize; 4] = input.shape().dims();
                        grads.register::<Flex>(node.id, tensor(gradient, dims));
                    }
                }
            }
        }

        match Attention
            .prepare::<C>([q.node(), k.node(), v.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let state = [&q, &k, &v].map(|input| prep.checkpoint(input));
                prep.finish(
                    state,
                    Flex::attention(q.into_primitive(), k.into_primitive(), v.into_primitive()),
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::attention(
                q.into_primitive(),
                k.into_primitive(),
                v.into_primitive(),
            )),
        }
    }
}
