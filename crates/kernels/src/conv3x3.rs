//! 3x3 convolution, stride 1, padding 1: forward, input gradient and weight gradient.
//!
//! By shape Winograd's algorithm ([`crate::winograd`]), the sums as they are written ([`crate::direct`]), or im2col into a
//! buffer that stays in the second-level cache, then a matrix product.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;
use rayon::prelude::*;

use crate::around::{Around, Source};
use crate::extension::{KernelOps, Maybe};
use crate::matmul::matmul;
use crate::norm_silu::{Norm, chunked_sum, norm_silu};
use crate::simd::vectorised;
use crate::transformed::Filters;
use crate::winograd::{self, Tile};
use crate::{conv2d, direct, is_flex};

/// Convolves `x` `[batch, in, height, width]` with `weight` `[out, in, 3, 3]`, stride 1, zero padding 1, and adds
/// `bias` `[out]`: `[batch, out, height, width]`.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if is_flex(&x.device()) {
        Tensor::from_dispatch(<Dispatch as KernelOps>::conv3x3(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
        ))
    } else {
        burn::tensor::module::conv2d(
            x,
            weight,
            Some(bias),
            ConvOptions::new([1, 1], [1, 1], [1, 1], 1),
        )
    }
}

/// `conv3x3(silu(norm(x)), weight, bias)`, plus `offset` `[batch, out]` at every pixel and `residual`, an image like the
/// result, where they are given. On the CPU all of it is one pass over memory when nothing has to be kept for gradients.
pub fn norm_silu_conv3x3(
    x: Tensor<4>,
    norm: Norm,
    weight: Tensor<4>,
    bias: Tensor<1>,
    offset: Option<Tensor<2>>,
    residual: Option<Tensor<4>>,
) -> Tensor<4> {
    if is_flex(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as KernelOps>::norm_silu_conv3x3(
            x.into_dispatch(),
            norm.scale.into_dispatch(),
            norm.shift.into_dispatch(),
            norm.groups,
            norm.epsilon as f32,
            weight.into_dispatch(),
            bias.into_dispatch(),
            Maybe::of(offset.map(Tensor::into_dispatch)),
            Maybe::of(residual.map(Tensor::into_dispatch)),
        ));
    }
    let mut y = conv3x3(norm_silu(x, norm), weight, bias);
    if let Some(offset) = offset {
        y = y + offset.unsqueeze_dims::<4>(&[2, 3]);
    }
    match residual {
        Some(residual) => y + residual,
        None => y,
    }
}

/// Sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Winograd's tile for the forward pass and the input gradient; none where im2col is at least as fast.
    ///
    /// With less than 16 channels on either side most lanes would stand empty (measured at 4 to 512 channels and sides
    /// of 4 to 64). Of the two tiles, the one with fewer multiplications, and at a tie the more accurate: F(2x2) is for
    /// sides of 1, 2, 5 and 6.
    pub fn tile(&self) -> Option<Tile> {
        let cost = |side: usize| {
            self.height.div_ceil(side) * self.width.div_ceil(side) * (side + 2) * (side + 2)
        };
        let tile = if cost(2) <= cost(4) {
            Tile::Two
        } else {
            Tile::Four
        };
        (self.channels_in.min(self.channels_out) >= 16).then_some(tile)
    }

    /// As any convolution has it.
    fn general(&self) -> conv2d::Shape {
        conv2d::Shape {
            batch: self.batch,
            channels_in: self.channels_in,
            channels_out: self.channels_out,
            input: [self.height, self.width],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
        }
    }

    /// Images a matrix product takes at once: enough columns to fill the micro-kernel on small images.
    fn unit(&self) -> usize {
        (196 / self.pixels()).clamp(1, 8)
    }
}

/// Fixed number of images whose weight gradients are summed together, whatever the number of threads.
const GRADIENT_UNIT: usize = 16;

/// Writes the nine shifted copies of every channel of one image, `[channel * 9, pixels]` with row stride `stride`.
#[inline(always)]
fn im2col(
    image: &[f32],
    columns: &mut [f32],
    channels: usize,
    height: usize,
    width: usize,
    stride: usize,
) {
    let pixels = height * width;
    for c in 0..channels {
        let plane = &image[c * pixels..(c + 1) * pixels];
        for ky in 0..3 {
            for kx in 0..3 {
                let row = &mut columns[((c * 3 + ky) * 3 + kx) * stride..][..pixels];
                for y in 0..height {
                    let line = &mut row[y * width..(y + 1) * width];
                    let source = y + ky;
                    if source == 0 || source > height {
                        line.fill(0.0);
                        continue;
                    }
                    let from = &plane[(source - 1) * width..source * width];
                    match kx {
                        0 => {
                            line[0] = 0.0;
                            line[1..].copy_from_slice(&from[..width - 1]);
                        }
                        1 => line.copy_from_slice(from),
                        _ => {
                            line[..width - 1].copy_from_slice(&from[1..]);
                            line[width - 1] = 0.0;
                        }
                    }
                }
            }
        }
    }
}

/// `y = conv(x, weight)`, all row-major, with what is `around` it (`before` where [`Shape::tile`] has a tile only).
pub(crate) fn forward(
    x: &[f32],
    filters: Filters<'_>,
    around: Around<'_>,
    shape: Shape,
) -> Vec<f32> {
    if let Some(tile) = shape.tile() {
        let weights = filters.winograd((shape.channels_in, shape.channels_out), tile, false);
        return winograd::forward(Source::Plain(x), &weights, around, shape);
    }
    if direct::wanted(&shape.general(), false) {
        return direct::forward(x, filters, around, &shape.general());
    }
    let weight = filters.values;
    assert!(around.before.is_none(), "applied by the caller");
    let (bias, after) = around.bias_first();
    let mut y = by_columns(x, weight, bias, shape);
    after.finish(&mut y, (shape.channels_out, shape.pixels()));
    y
}

/// [`forward`] by im2col.
fn by_columns(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: Shape) -> Vec<f32> {
    let (pixels, unit) = (shape.pixels(), shape.unit());
    let depth = shape.channels_in * 9;
    let mut y = vec![0f32; shape.batch * shape.channels_out * pixels];
    y.par_chunks_mut(unit * shape.channels_out * pixels)
        .zip(x.par_chunks(unit * shape.channels_in * pixels))
        .for_each_init(
            || {
                (
                    vec![0f32; depth * unit * pixels],
                    vec![0f32; shape.channels_out * unit * pixels],
                )
            },
            |(columns, product), (y, x)| {
                let images = x.len() / (shape.channels_in * pixels);
                let stride = images * pixels;
                for (i, image) in x.chunks_exact(shape.channels_in * pixels).enumerate() {
                    im2col(
                        image,
                        &mut columns[i * pixels..],
                        shape.channels_in,
                        shape.height,
                        shape.width,
                        stride,
                    );
                }
                matmul(
                    (shape.channels_out, stride, depth),
                    product,
                    false,
                    weight,
                    (depth, 1),
                    columns,
                    (stride, 1),
                );
                for (i, image) in y.chunks_exact_mut(shape.channels_out * pixels).enumerate() {
                    for (o, plane) in image.chunks_exact_mut(pixels).enumerate() {
                        let from = &product[o * stride + i * pixels..][..pixels];
                        let offset = bias.map_or(0.0, |bias| bias[o]);
                        for (y, p) in plane.iter_mut().zip(from) {
                            *y = p + offset;
                        }
                    }
                }
            },
        );
    y
}

/// Gradient with respect to x: the convolution of `dy` with the weight turned by 180 degrees and its channel
/// axes swapped.
pub(crate) fn input_gradient(dy: Source<'_>, filters: Filters<'_>, shape: Shape) -> Vec<f32> {
    let swapped = Shape {
        channels_in: shape.channels_out,
        channels_out: shape.channels_in,
        ..shape
    };
    if let Some(tile) = shape.tile() {
        let weights = filters.winograd((shape.channels_in, shape.channels_out), tile, true);
        return winograd::forward(dy, &weights, Around::default(), swapped);
    }
    if direct::wanted(&shape.general(), true) {
        return direct::input_gradient(dy, filters, &shape.general());
    }
    let weight = filters.values;
    let dy = dy.values(shape.pixels());
    let mut turned = vec![0f32; weight.len()];
    for o in 0..shape.channels_out {
        for i in 0..shape.channels_in {
            for k in 0..9 {
                turned[(i * shape.channels_out + o) * 9 + 8 - k] =
                    weight[(o * shape.channels_in + i) * 9 + k];
            }
        }
    }
    by_columns(&dy, &turned, None, swapped)
}

/// Gradients with respect to weight and bias.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: Shape) -> (Vec<f32>, Vec<f32>) {
    // The way back pays where the sums of many tiles share it.
    let tiles = shape.batch * shape.height.div_ceil(4) * shape.width.div_ceil(4);
    if tiles >= 96 && shape.tile() == Some(Tile::Four) {
        (
            winograd::weight_gradient(x, dy, shape),
            bias_gradient(dy, shape),
        )
    } else {
        weight_gradient_by_columns(x, dy, shape)
    }
}

/// Sum of each output channel over images and pixels, in a fixed order.
fn bias_gradient(dy: &[f32], shape: Shape) -> Vec<f32> {
    let (pixels, image) = (shape.pixels(), shape.channels_out * shape.pixels());
    let sum_of = |channel: usize| {
        let planes = dy
            .chunks_exact(image)
            .map(|image| &image[channel * pixels..][..pixels]);
        vectorised(
            #[inline(always)]
            || planes.map(|plane| chunked_sum(plane, |v| v)).sum::<f32>(),
        )
    };
    (0..shape.channels_out)
        .into_par_iter()
        .map(sum_of)
        .collect()
}

/// [`weight_gradient`] by im2col.
fn weight_gradient_by_columns(x: &[f32], dy: &[f32], shape: Shape) -> (Vec<f32>, Vec<f32>) {
    let (pixels, unit) = (shape.pixels(), shape.unit());
    let depth = shape.channels_in * 9;
    let weights = shape.channels_out * depth;
    let parts: Vec<(Vec<f32>, Vec<f32>)> = x
        .par_chunks(GRADIENT_UNIT * shape.channels_in * pixels)
        .zip(dy.par_chunks(GRADIENT_UNIT * shape.channels_out * pixels))
        .map(|(x, dy)| {
            let mut columns = vec![0f32; depth * unit * pixels];
            let mut rows = vec![0f32; shape.channels_out * unit * pixels];
            let mut dw = vec![0f32; weights];
            let mut db = vec![0f32; shape.channels_out];
            for (x, dy) in x
                .chunks(unit * shape.channels_in * pixels)
                .zip(dy.chunks(unit * shape.channels_out * pixels))
            {
                let images = x.len() / (shape.channels_in * pixels);
                let stride = images * pixels;
                for (i, image) in x.chunks_exact(shape.channels_in * pixels).enumerate() {
                    im2col(
                        image,
                        &mut columns[i * pixels..],
                        shape.channels_in,
                        shape.height,
                        shape.width,
                        stride,
                    );
                }
                for (i, image) in dy.chunks_exact(shape.channels_out * pixels).enumerate() {
                    for (o, plane) in image.chunks_exact(pixels).enumerate() {
                        rows[o * stride + i * pixels..][..pixels].copy_from_slice(plane);
                        db[o] += vectorised(
                            #[inline(always)]
                            || chunked_sum(plane, |v| v),
                        );
                    }
                }
                matmul(
                    (shape.channels_out, depth, stride),
                    &mut dw,
                    true,
                    &rows,
                    (stride, 1),
                    &columns,
                    (1, stride),
                );
            }
            (dw, db)
        })
        .collect();
    let mut dw = vec![0f32; weights];
    let mut db = vec![0f32; shape.channels_out];
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
