//! The kernels' gradients.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};

use super::flex::{
    Primitive, attention_shape, channel_shape, contiguous, conv_shape, conv2d_biased,
    conv3x3_biased, general_shape, norm_shape, tensor, values,
};
use super::linear::linear;
use super::{KernelOps, Maybe};
use crate::around::{self, Source};
use crate::transformed::Filters;
use crate::{attention, channel_norm, conv2d, conv3x3, join, norm_silu, subsample, upsample};

/// An input that was kept for the backward pass, contiguous.
fn kept(checkpointer: &mut Checkpointer, input: NodeId) -> Primitive {
    contiguous(&checkpointer.retrieve_node_output::<Primitive>(input))
}

/// Hands a parent its gradient, where it wants one.
pub(super) fn register(
    grads: &mut Gradients,
    parent: Option<NodeId>,
    gradient: Vec<f32>,
    dims: impl Into<Vec<usize>>,
) {
    if let Some(id) = parent {
        grads.register::<Flex>(id, tensor(gradient, dims));
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
                let [node_x, node_weight, node_bias] =
                    ops.parents.map(|node| node.map(|node| node.id));
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let x = kept(checkpointer, ops.state.0);
                let weight = kept(checkpointer, ops.state.1);
                let shape = conv_shape(&x, &weight);
                if node_x.is_some() {
                    let dx = conv3x3::input_gradient(
                        Source::Plain(values(&dy)),
                        Filters::of(&weight, ops.state.2),
                        shape,
                    );
                    let dims = [shape.batch, shape.channels_in, shape.height, shape.width];
                    register(grads, node_x, dx, dims);
                }
                if node_weight.is_some() || node_bias.is_some() {
                    let (dw, db) = conv3x3::weight_gradient(values(&x), values(&dy), shape);
                    let dims = [shape.channels_out, shape.channels_in, 3, 3];
                    register(grads, node_weight, dw, dims);
                    register(grads, node_bias, db, [shape.channels_out]);
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
            type State = (NodeId, NodeId, [usize; 2], [usize; 2], bool);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                checkpointer: &mut Checkpointer,
            ) {
                let [node_x, node_weight, node_bias] =
                    ops.parents.map(|node| node.map(|node| node.id));
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, weight, stride, padding, constant) = ops.state;
                let x = kept(checkpointer, x);
                let weight = kept(checkpointer, weight);
                let shape = general_shape(&x, &weight, stride, padding);
                if node_x.is_some() {
                    let filters = Filters::of(&weight, constant);
                    let dx = conv2d::input_gradient(Source::Plain(values(&dy)), filters, shape);
                    let [height, width] = shape.input;
                    let dims = [shape.batch, shape.channels_in, height, width];
                    register(grads, node_x, dx, dims);
                }
                if node_weight.is_some() || node_bias.is_some() {
                    let (dw, db) = conv2d::weight_gradient(values(&x), values(&dy), shape);
                    register(grads, node_weight, dw, weight.shape().dims::<4>());
                    register(grads, node_bias, db, [shape.channels_out]);
                }
            }
        }

        let constant = !weight.is_tracked();
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
                    constant,
                );
                prep.finish(
                    state,
                    conv2d_biased(
                        x.into_primitive(),
                        weight.into_primitive(),
                        bias.into_primitive(),
                        (stride, padding),
                        constant,
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
                let [node_x, node_scale, node_shift] =
                    ops.parents.map(|node| node.map(|node| node.id));
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, scale, shift, groups, epsilon, silu) = ops.state;
                let x = kept(checkpointer, x);
                let scale = kept(checkpointer, scale);
                let shift = kept(checkpointer, shift);
                let shape = norm_shape(&x, groups, epsilon, silu);
                let dims: [usize; 4] = x.shape().dims();
                let (dx, dscale, dshift) = norm_silu::backward(
                    values(&x),
                    values(&scale),
                    values(&shift),
                    values(&dy),
                    shape,
                );
                register(grads, node_x, dx, dims);
                register(grads, node_scale, dscale, [shape.batch, shape.channels]);
                register(grads, node_shift, dshift, [shape.batch, shape.channels]);
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
                let mut parents = ops.parents.into_iter().map(|node| node.map(|node| node.id));
                let (image, residual) = (parents.next().flatten(), parents.next().flatten());
                // A residual has the gradient behind the ReLU, so it is written out.
                let cut = match (&result, residual) {
                    (Some(y), Some(_)) => {
                        tensor(around::where_positive(values(&dy), values(y)), dims)
                    }
                    _ => dy,
                };
                if let Some(id) = residual {
                    grads.register::<Flex>(id, cut.clone());
                }
                if image.is_some() {
                    let d = Source::Back {
                        dy: values(&cut),
                        y: result.as_ref().filter(|_| residual.is_none()).map(values),
                        scale: values(&scale),
                    };
                    let filters = Filters::of(&weight, true);
                    let dx = match shape.as_conv3x3() {
                        Some(shape) => conv3x3::input_gradient(d, filters, shape),
                        None => conv2d::input_gradient(d, filters, shape),
                    };
                    let [height, width] = shape.input;
                    let dims = [shape.batch, shape.channels_in, height, width];
                    register(grads, image, dx, dims);
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
        let keep = |y: &Primitive| Kept {
            weight: weight.clone(),
            scale: contiguous(&scale),
            result: activated.then(|| y.clone()),
            shape,
        };
        match residual {
            Maybe::None => match Conv2dAffine.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => {
                    let y = forward(None);
                    prep.finish(keep(&y), y)
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
                    prep.finish(keep(&y), y)
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
                let [node_x, node_gamma, node_beta] =
                    ops.parents.map(|node| node.map(|node| node.id));
                let dy = contiguous(&grads.consume::<Flex>(&ops.node));
                let (x, gamma, epsilon) = ops.state;
                let x = kept(checkpointer, x);
                let gamma = kept(checkpointer, gamma);
                let shape = channel_shape(&x, &gamma, epsilon);
                let (dx, dgamma, dbeta) =
                    channel_norm::backward(values(&x), values(&gamma), values(&dy), shape);
                register(grads, node_x, dx, x.shape().dims::<3>());
                for (node, gradient) in [(node_gamma, dgamma), (node_beta, dbeta)] {
                    register(grads, node, gradient, [shape.channels]);
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
        let [.., width] = x.shape().dims::<4>();
        let transpose = move |dy: &[f32], _| upsample::backward(dy, width);
        linear::<C, 1>([x], |[x]| Flex::upsample2(x), transpose)
    }

    fn subsample2(x: FloatTensor<Self>, padding: usize) -> FloatTensor<Self> {
        let dims = x.shape().dims();
        let shape = subsample::Shape { dims, padding };
        let transpose = move |dy: &[f32], _| subsample::backward(dy, shape);
        linear::<C, 1>([x], |[x]| Flex::subsample2(x, padding), transpose)
    }

    fn join_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let image = |dims: [usize; 4]| dims[1..].iter().product::<usize>();
        let sizes = [image(a.shape().dims()), image(b.shape().dims())];
        let transpose = move |dy: &[f32], number| join::backward(dy, sizes, number);
        linear::<C, 2>([a, b], |[a, b]| Flex::join_channels(a, b), transpose)
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
                let inputs: [Primitive; 3] = ops.state.map(|input| kept(checkpointer, input));
                let [q, k, v] = &inputs;
                let shape = attention_shape(q, k, v);
                let (dq, dk, dv) =
                    attention::backward(values(q), values(k), values(v), values(&dy), shape);
                let parents = ops.parents.map(|node| node.map(|node| node.id));
                for ((parent, input), gradient) in
                    parents.into_iter().zip(&inputs).zip([dq, dk, dv])
                {
                    register(grads, parent, gradient, input.shape().dims::<4>());
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
