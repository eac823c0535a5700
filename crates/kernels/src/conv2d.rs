//! Convolutions of any filter size, stride and padding, forward, input gradient and weight gradient: by shape and processor the
//! sums as they are written ([`crate::direct`]), those of 1x1 filters ([`crate::pointwise`]), or im2col and a matrix product,
//! without the copy for 1x1 filters.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::ops::ConvOptions;
use rayon::prelude::*;

use crate::around::{Around, Source};
use crate::extension::{KernelOps, Maybe};
use crate::matmul::matmul;
use crate::norm_silu::chunked_sum;
use crate::simd::vectorised;
use crate::transformed::Filters;
use crate::{direct, is_flex, pointwise};

/// Convolves `x` `[batch, in, height, width]` with `weight` `[out, in, kernel height, kernel width]` after `padding`
/// zeros on each side of (height, width), every `stride` pixels, and adds `bias` `[out]` where there is one:
/// `[batch, out, (height + 2 * padding - kernel) / stride + 1, …]`.
///
/// 3x3 filters with stride 1 and padding 1 go to [`conv3x3`](crate::conv3x3).
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if !is_flex(&x.device()) {
        let options = ConvOptions::new(stride, padding, [1, 1], 1);
        return burn::tensor::module::conv2d(x, weight, bias, options);
    }
    let [channels_out, _, kh, kw] = weight.dims();
    let bias = bias.unwrap_or_else(|| Tensor::zeros([channels_out], &x.device()));
    if (kh, kw, stride, padding) == (3, 3, [1, 1], [1, 1]) {
        return crate::conv3x3(x, weight, bias);
    }
    Tensor::from_dispatch(<Dispatch as KernelOps>::conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        stride,
        padding,
    ))
}

/// `relu(scale * conv(x, weight) + shift + residual)`: a convolution, the batch norm behind it with its statistics held, a
/// shortcut where there is one, and a ReLU where it is `activated`. Gradients are those of `x` and `residual` alone.
///
/// - `x`: `[batch, in, height, width]`, `weight`: `[out, in, kernel height, kernel width]`;
/// - `scale`, `shift`: `[out]`;
/// - `residual`: shaped as the result.
///
/// # Panics
/// When the weights, the scale or the shift are being learnt, on the `flex` backend.
#[allow(clippy::too_many_arguments)]
pub fn conv2d_affine(
    x: Tensor<4>,
    weight: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    activated: bool,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    if is_flex(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as KernelOps>::conv2d_affine(
            x.into_dispatch(),
            weight.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            Maybe::of(residual.map(Tensor::into_dispatch)),
            activated,
            stride,
            padding,
        ));
    }
    let row = |values: Tensor<1>| values.unsqueeze_dims::<4>(&[0, 2, 3]);
    let mut y = conv2d(x, weight, None, stride, padding) * row(scale) + row(shift);
    if let Some(residual) = residual {
        y = y + residual;
    }
    if activated { relu(y) } else { y }
}

/// Sizes of one convolution; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub input: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

impl Shape {
    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        std::array::from_fn(|d| {
            let padded = self.input[d] + 2 * self.padding[d];
            assert!(
                self.kernel[d] <= padded && self.stride[d] > 0,
                "conv2d: a filter of {:?} does not fit {:?} with padding {:?} and stride {:?}",
                self.kernel,
                self.input,
                self.padding,
                self.stride
            );
            (padded - self.kernel[d]) / self.stride[d] + 1
        })
    }

    /// The same convolution as [`conv3x3`](crate::conv3x3) has it, where it is one.
    pub fn as_conv3x3(&self) -> Option<crate::conv3x3::Shape> {
        let taken = (self.kernel, self.stride, self.padding) == ([3, 3], [1, 1], [1, 1]);
        taken.then_some(crate::conv3x3::Shape {
            batch: self.batch,
            channels_in: self.channels_in,
            channels_out: self.channels_out,
            height: self.input[0],
            width: self.input[1],
        })
    }

    fn pixels_in(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn pixels_out(&self) -> usize {
        let [height, width] = self.output();
        height * width
    }

    fn depth(&self) -> usize {
        self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Whether the image itself is what im2col would write.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == ([1, 1], [1, 1], [0, 0])
    }

    /// Output positions `from..to` along `axis` whose input for tap `k` lies inside the image.
    fn inside(&self, axis: usize, k: usize, count: usize) -> (usize, usize) {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let from = padding.saturating_sub(k).div_ceil(stride);
        let to = (self.input[axis] + padding)
            .saturating_sub(k)
            .div_ceil(stride);
        (from.min(count), to.min(count))
    }

    /// Calls `f(row of columns, row of pixels)` for each tap and output line inside the image: the start in the
    /// columns `[depth, pixels_out]`, the start in the image, the number of values, the distance in the image.
    #[inline(always)]
    fn lines(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [height, width] = self.output();
        let mut row = 0;
        for c in 0..self.channels_in {
            for ky in 0..self.kernel[0] {
                for kx in 0..self.kernel[1] {
                    let (top, bottom) = self.inside(0, ky, height);
                    let (left, right) = self.inside(1, kx, width);
                    if left < right {
                        for y in top..bottom {
                            let source = (y * self.stride[0] + ky - self.padding[0])
                                * self.input[1]
                                + left * self.stride[1]
                                + kx
                                - self.padding[1];
                            f(
                                (row * height + y) * width + left,
                                c * self.pixels_in() + source,
                                right - left,
                            );
                        }
                    }
                    row += 1;
                }
            }
        }
    }
}

fn im2col(image: &[f32], columns: &mut [f32], shape: &Shape) {
    columns.fill(0.0);
    let stride = shape.stride[1];
    shape.lines(|to, from, count| {
        let line = &mut columns[to..to + count];
        let source = &image[from..];
        for (value, source) in line.iter_mut().zip(source.iter().step_by(stride)) {
            *value = *source;
        }
    });
}

fn col2im(columns: &[f32], image: &mut [f32], shape: &Shape) {
    let stride = shape.stride[1];
    shape.lines(|from, to, count| {
        let line = &columns[from..from + count];
        for (value, sum) in line.iter().zip(image[to..].iter_mut().step_by(stride)) {
            *sum += *value;
        }
    });
}

/// `y = conv(x, weight)` with what is `around` it, all row-major; nothing is done `before`.
pub(crate) fn forward(
    x: &[f32],
    filters: Filters<'_>,
    around: Around<'_>,
    shape: Shape,
) -> Vec<f32> {
    if direct::wanted(&shape, false) {
        return direct::forward(x, filters, around, &shape);
    }
    let weight = filters.values;
    if pointwise::wanted(&shape) {
        let sizes = (shape.batch, shape.pixels_out());
        let channels = (shape.channels_in, shape.channels_out);
        return pointwise::forward(Source::Plain(x), weight, around, sizes, channels);
    }
    assert!(around.before.is_none(), "applied by the caller");
    let (bias, after) = around.bias_first();
    let (pixels, depth) = (shape.pixels_out(), shape.depth());
    let mut y = vec![0f32; shape.batch * shape.channels_out * pixels];
    y.par_chunks_exact_mut(shape.channels_out * pixels)
        .zip(x.par_chunks_exact(shape.channels_in * shape.pixels_in()))
        .for_each_init(Vec::new, |columns, (y, x)| {
            if let Some(bias) = bias {
                for (plane, offset) in y.chunks_exact_mut(pixels).zip(bias) {
                    plane.fill(*offset);
                }
            }
            let columns = if shape.is_pointwise() {
                x
            } else {
                columns.resize(depth * pixels, 0.0);
                im2col(x, columns, &shape);
                &*columns
            };
            matmul(
                (shape.channels_out, pixels, depth),
                y,
                true,
                weight,
                (depth, 1),
                columns,
                (pixels, 1),
            );
        });
    after.finish(&mut y, (shape.channels_out, pixels));
    y
}

/// Gradient with respect to x.
pub(crate) fn input_gradient(dy: Source<'_>, filters: Filters<'_>, shape: Shape) -> Vec<f32> {
    let (pixels, depth) = (shape.pixels_out(), shape.depth());
    if direct::wanted(&shape, true) {
        return direct::input_gradient(dy, filters, &shape);
    }
    let weight = filters.values;
    if pointwise::wanted(&shape) {
        let channels = (shape.channels_in, shape.channels_out);
        return pointwise::input_gradient(dy, weight, (shape.batch, pixels), channels);
    }
    let dy = dy.values(pixels);
    let image = shape.channels_in * shape.pixels_in();
    let mut dx = vec![0f32; shape.batch * image];
    dx.par_chunks_exact_mut(image)
        .zip(dy.par_chunks_exact(shape.channels_out * pixels))
        .for_each_init(Vec::new, |columns: &mut Vec<f32>, (dx, dy)| {
            let product = |to: &mut [f32]| {
                matmul(
                    (depth, pixels, shape.channels_out),
                    to,
                    false,
                    weight,
                    (1, depth),
                    dy,
                    (pixels, 1),
                );
            };
            if shape.is_pointwise() {
                product(dx);
            } else {
                columns.resize(depth * pixels, 0.0);
                product(columns);
                col2im(columns, dx, &shape);
            }
        });
    dx
}

/// Fixed number of images whose weight gradients are summed together, whatever the number of threads.
const GRADIENT_UNIT: usize = 16;

/// Gradients with respect to weight and bias.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: Shape) -> (Vec<f32>, Vec<f32>) {
    let (pixels, depth) = (shape.pixels_out(), shape.depth());
    let (image_in, image_out) = (
        shape.channels_in * shape.pixels_in(),
        shape.channels_out * pixels,
    );
    let zeros = || {
        (
            vec![0f32; shape.channels_out * depth],
            vec![0f32; shape.channels_out],
        )
    };
    let parts: Vec<_> = x
        .par_chunks(GRADIENT_UNIT * image_in)
        .zip(dy.par_chunks(GRADIENT_UNIT * image_out))
        .map(|(x, dy)| {
            let (mut dw, mut db) = zeros();
            let mut columns = Vec::new();
            for (x, dy) in x.chunks_exact(image_in).zip(dy.chunks_exact(image_out)) {
                let columns = if shape.is_pointwise() {
                    x
                } else {
                    columns.resize(depth * pixels, 0.0);
                    im2col(x, &mut columns, &shape);
                    &columns
                };
                matmul(
                    (shape.channels_out, depth, pixels),
                    &mut dw,
                    true,
                    dy,
                    (pixels, 1),
                    columns,
                    (1, pixels),
                );
                for (sum, plane) in db.iter_mut().zip(dy.chunks_exact(pixels)) {
                    *sum += vectorised(
                        #[inline(always)]
                        || chunked_sum(plane, |v| v),
                    );
                }
            }
            (dw, db)
        })
        .collect();
    let (mut dw, mut db) = zeros();
    for (part_w, part_b) in &parts {
        dw.iter_mut()
            .zip(part_w)
            .for_each(|(sum, part)| *sum += part);
        db.iter_mut()
            .zip(part_b)
            .for_each(|(sum, part)| *sum += part);
    }
    (dw, db)
}
