//! The kernels on the `flex` backend: shapes are checked, layouts made contiguous, and the ways chosen.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, TensorData};

use super::{KernelOps, Maybe};
use crate::around::Around;
use crate::norm_silu::Normalise;
use crate::transformed::Filters;
use crate::{attention, bf16, channel_norm, conv2d, conv3x3, join, norm_silu, subsample, upsample};

pub(super) type Primitive = FloatTensor<Flex>;

/// The tensor's values, row-major; a copy only where the layout asks for one.
pub(super) fn contiguous(tensor: &Primitive) -> Primitive {
    assert_eq!(tensor.dtype(), DType::F32, "the CPU kernels compute in f32");
    if tensor.as_slice::<f32>().is_some() {
        tensor.clone()
    } else {
        tensor.to_contiguous()
    }
}

pub(crate) fn values(tensor: &Primitive) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous f32 above")
}

pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> Primitive {
    Primitive::from_data(TensorData::new(values, shape.into()))
}

pub(super) fn conv_shape(x: &Primitive, weight: &Primitive) -> conv3x3::Shape {
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

pub(super) fn general_shape(
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

/// Whether a convolution of weights that are not being learnt takes its input through [`Around::before`].
fn takes_before(shape: &conv2d::Shape) -> bool {
    match bf16::wanted(shape) {
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
    #[cfg(target_arch = "x86_64")]
    if bf16::has_tiles() {
        let packed = Filters::of(weight, true).tiles((shape.channels_in, shape.channels_out));
        return bf16::forward(values(x), &packed, around, &shape);
    }
    let (x, rounded) = (bf16::rounded(values(x)), bf16::rounded(values(weight)));
    let filters = Filters::rounded(weight, &rounded);
    match shape.as_conv3x3() {
        Some(shape) => conv3x3::forward(&x, filters, around, shape),
        None => conv2d::forward(&x, filters, around, shape),
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
        false => conv3x3::forward(values(x), Filters::of(weight, constant), around, shape),
    };
    tensor(
        y,
        [shape.batch, shape.channels_out, shape.height, shape.width],
    )
}

/// Any convolution on the CPU, as far as it is not one for [`conv3x3_forward`]; `constant` and layouts as there.
fn conv2d_forward(
    x: &Primitive,
    weight: &Primitive,
    around: Around<'_>,
    shape: conv2d::Shape,
    constant: bool,
) -> Primitive {
    let y = match constant && bf16::wanted(&shape) {
        true => bf16_forward(x, weight, around, shape),
        false => conv2d::forward(values(x), Filters::of(weight, constant), around, shape),
    };
    let [height, width] = shape.output();
    tensor(y, [shape.batch, shape.channels_out, height, width])
}

/// [`conv3x3_forward`] with a bias alone.
pub(super) fn conv3x3_biased(
    x: Primitive,
    weight: Primitive,
    bias: Primitive,
    constant: bool,
) -> Primitive {
    let bias = contiguous(&bias);
    let around = Around::biased(values(&bias));
    conv3x3_forward(&contiguous(&x), &contiguous(&weight), around, constant)
}

/// [`conv2d_forward`] with a bias alone.
pub(super) fn conv2d_biased(
    x: Primitive,
    weight: Primitive,
    bias: Primitive,
    (stride, padding): ([usize; 2], [usize; 2]),
    constant: bool,
) -> Primitive {
    let shape = general_shape(&x, &weight, stride, padding);
    let bias = contiguous(&bias);
    let around = Around::biased(values(&bias));
    conv2d_forward(
        &contiguous(&x),
        &contiguous(&weight),
        around,
        shape,
        constant,
    )
}

pub(super) fn norm_shape(
    x: &Primitive,
    groups: usize,
    epsilon: f32,
    silu: bool,
) -> norm_silu::Shape {
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

pub(super) fn channel_shape(x: &Primitive, gamma: &Primitive, epsilon: f32) -> channel_norm::Shape {
    let [_, channels, tokens] = x.shape().dims();
    assert_eq!(gamma.shape().dims(), [channels], "channel_norm: gamma");
    channel_norm::Shape {
        channels,
        tokens,
        epsilon,
    }
}

pub(super) fn attention_shape(q: &Primitive, k: &Primitive, v: &Primitive) -> attention::Shape {
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
        conv2d_biased(x, weight, bias, (stride, padding), true)
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
        if !takes_before(&general) {
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
            None => conv2d_forward(&x, &weight, around, shape, true),
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

    fn subsample2(x: Primitive, padding: usize) -> Primitive {
        let dims = x.shape().dims();
        let shape = subsample::Shape { dims, padding };
        let y = subsample::forward(values(&contiguous(&x)), shape);
        tensor(y, shape.output())
    }

    fn join_channels(a: Primitive, b: Primitive) -> Primitive {
        let [batch, of_a, height, width] = a.shape().dims();
        let [_, of_b, ..] = b.shape().dims::<4>();
        let dims = [batch, of_b, height, width];
        assert_eq!(b.shape().dims(), dims, "join_channels: another size");
        let y = join::forward(values(&contiguous(&a)), values(&contiguous(&b)), batch);
        tensor(y, [batch, of_a + of_b, height, width])
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
