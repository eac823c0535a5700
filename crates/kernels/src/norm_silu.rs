//! GroupNorm, per-sample affine map and SiLU in one pass over memory, forward and backward.

use std::mem::MaybeUninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use rayon::prelude::*;

use crate::extension::KernelOps;
use crate::filled::filled;
use crate::is_flex;
use crate::simd::{sigmoid, vectorised};

/// A group normalisation: `scale * xhat + shift` where xhat is the image normalised over each of `groups` groups of
/// channels (biased variance, `epsilon` added to it).
///
/// `scale` and `shift`, `[batch, channel]`, hold the norm's own affine parameters and, where the network has them,
/// the time embedding's (FiLM): `scale = gamma * (1 + s)`, `shift = beta * (1 + s) + b`.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[batch, channel]`.
    pub scale: Tensor<2>,
    /// `[batch, channel]`.
    pub shift: Tensor<2>,
    /// Groups, a divisor of the channels.
    pub groups: usize,
    /// What is added to the variance.
    pub epsilon: f64,
}

/// `norm(x)`, `x`: `[batch, channel, height, width]`.
pub fn group_norm(x: Tensor<4>, norm: Norm) -> Tensor<4> {
    run(x, norm, false)
}

/// `silu(norm(x))`, `x`: `[batch, channel, height, width]`.
pub fn norm_silu(x: Tensor<4>, norm: Norm) -> Tensor<4> {
    run(x, norm, true)
}

fn run(x: Tensor<4>, norm: Norm, with_silu: bool) -> Tensor<4> {
    let Norm {
        scale,
        shift,
        groups,
        epsilon,
    } = norm;
    if is_flex(&x.device()) {
        Tensor::from_dispatch(<Dispatch as KernelOps>::group_norm(
            x.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            groups,
            epsilon as f32,
            with_silu,
        ))
    } else {
        let shape = x.dims();
        let flat: Tensor<3> = x.reshape([shape[0] as i32, groups as i32, -1]);
        let centred = flat.clone() - flat.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let xhat = (centred / (variance + epsilon).sqrt()).reshape(shape);
        let h = xhat * scale.unsqueeze_dims::<4>(&[2, 3]) + shift.unsqueeze_dims::<4>(&[2, 3]);
        if with_silu { silu(h) } else { h }
    }
}

/// Sizes of one normalisation, and whether a SiLU follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub channels: usize,
    pub pixels: usize,
    pub groups: usize,
    pub epsilon: f32,
    pub silu: bool,
}

/// Sums with sixteen running totals: the order is fixed, and it vectorises.
#[inline(always)]
fn sum_of(values: impl Iterator<Item = f32>) -> f32 {
    let mut totals = [0f32; 16];
    for (i, value) in values.enumerate() {
        totals[i & 15] += value;
    }
    totals.iter().sum()
}

/// Sums `map` of every value, in sixteen running totals.
#[inline(always)]
pub(crate) fn chunked_sum(values: &[f32], map: impl Fn(f32) -> f32) -> f32 {
    let mut totals = [0f32; 16];
    let mut chunks = values.chunks_exact(16);
    for chunk in &mut chunks {
        for (total, value) in totals.iter_mut().zip(chunk) {
            *total += map(*value);
        }
    }
    totals.iter().sum::<f32>() + sum_of(chunks.remainder().iter().map(|v| map(*v)))
}

/// Mean and 1 / standard deviation of one group.
#[inline(always)]
fn statistics(group: &[f32], epsilon: f32) -> (f32, f32) {
    let count = group.len() as f32;
    let mean = chunked_sum(group, |v| v) / count;
    let variance = chunked_sum(group, |v| (v - mean) * (v - mean)) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// A normalisation and SiLU that another kernel applies as it reads the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalise<'a> {
    /// `[batch, channel]`.
    pub scale: &'a [f32],
    /// `[batch, channel]`.
    pub shift: &'a [f32],
    pub shape: Shape,
}

impl Normalise<'_> {
    /// The maps `x * a + b` of the channels of `image`, number `n`.
    pub fn affine(&self, n: usize, image: &[f32], (a, b): (&mut [f32], &mut [f32])) {
        let shape = &self.shape;
        let per_group = shape.channels / shape.groups;
        let own = n * shape.channels..(n + 1) * shape.channels;
        let (scale, shift) = (&self.scale[own.clone()], &self.shift[own]);
        vectorised(
            #[inline(always)]
            || {
                for (g, group) in image.chunks_exact(per_group * shape.pixels).enumerate() {
                    let (mean, rstd) = statistics(group, shape.epsilon);
                    for c in g * per_group..(g + 1) * per_group {
                        a[c] = scale[c] * rstd;
                        b[c] = shift[c] - mean * a[c];
                    }
                }
            },
        );
    }

    /// [`affine`](Self::affine) of all images, `[batch, channel]` each.
    pub fn affines(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = self.shape.channels;
        let (mut a, mut b) = (vec![0f32; self.scale.len()], vec![0f32; self.scale.len()]);
        a.par_chunks_mut(channels)
            .zip(b.par_chunks_mut(channels))
            .zip(x.par_chunks(channels * self.shape.pixels))
            .enumerate()
            .for_each(|(n, ((a, b), image))| self.affine(n, image, (a, b)));
        (a, b)
    }
}

pub(crate) fn forward(x: &[f32], scale: &[f32], shift: &[f32], shape: Shape) -> Vec<f32> {
    let per_group = shape.channels / shape.groups;
    let group = per_group * shape.pixels;
    let write = |index: usize, y: &mut [MaybeUninit<f32>]| {
        let x = &x[index * group..][..group];
        let first = index / shape.groups * shape.channels + index % shape.groups * per_group;
        let (scale, shift) = (&scale[first..], &shift[first..]);
        vectorised(
            #[inline(always)]
            || {
                let (mean, rstd) = statistics(x, shape.epsilon);
                let planes = y
                    .chunks_exact_mut(shape.pixels)
                    .zip(x.chunks_exact(shape.pixels));
                for ((y, x), (scale, shift)) in planes.zip(scale.iter().zip(shift)) {
                    let a = scale * rstd;
                    let b = shift - mean * a;
                    if shape.silu {
                        for (y, x) in y.iter_mut().zip(x) {
                            let h = x * a + b;
                            y.write(h * sigmoid(h));
                        }
                    } else {
                        for (y, x) in y.iter_mut().zip(x) {
                            y.write(x * a + b);
                        }
                    }
                }
            },
        )
    };
    // SAFETY: a group is whole planes, of which every value is written.
    unsafe { filled(x.len(), group, write) }
}

/// Gradients with respect to x, scale and shift.
pub(crate) fn backward(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    dy: &[f32],
    shape: Shape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let per_group = shape.channels / shape.groups;
    let image = shape.channels * shape.pixels;
    let mut dx = vec![0f32; x.len()];
    let mut dscale = vec![0f32; scale.len()];
    let mut dshift = vec![0f32; shift.len()];
    dx.par_chunks_mut(image)
        .zip(dscale.par_chunks_mut(shape.channels))
        .zip(dshift.par_chunks_mut(shape.channels))
        .enumerate()
        .with_min_len(4)
        .for_each(|(n, ((dx, dscale), dshift))| {
            let x = &x[n * image..(n + 1) * image];
            let dy = &dy[n * image..(n + 1) * image];
            let scale = &scale[n * shape.channels..(n + 1) * shape.channels];
            let shift = &shift[n * shape.channels..(n + 1) * shape.channels];
            vectorised(
                #[inline(always)]
                || {
                    for g in 0..shape.groups {
                        let span = g * per_group * shape.pixels..(g + 1) * per_group * shape.pixels;
                        let (mean, rstd) = statistics(&x[span.clone()], shape.epsilon);
                        let mut sum_dxhat = 0f32;
                        let mut sum_dxhat_xhat = 0f32;
                        for c in g * per_group..(g + 1) * per_group {
                            let plane = c * shape.pixels..(c + 1) * shape.pixels;
                            let (a, b) = (scale[c], shift[c]);
                            // dh, the gradient before the SiLU, is kept in dx until the sums are known.
                            let lanes = &mut dx[plane.clone()];
                            for ((dh, x), dy) in lanes
                                .iter_mut()
                                .zip(&x[plane.clone()])
                                .zip(&dy[plane.clone()])
                            {
                                *dh = if shape.silu {
                                    let h = (x - mean) * rstd * a + b;
                                    let s = sigmoid(h);
                                    dy * (s + h * s * (1.0 - s))
                                } else {
                                    *dy
                                };
                            }
                            let lanes = &dx[plane.clone()];
                            let sum_dh = chunked_sum(lanes, |v| v);
                            let mut totals = [0f32; 16];
                            let xs = &x[plane];
                            let whole = lanes.len() / 16 * 16;
                            for (dh, x) in lanes[..whole]
                                .chunks_exact(16)
                                .zip(xs[..whole].chunks_exact(16))
                            {
                                for ((total, dh), x) in totals.iter_mut().zip(dh).zip(x) {
                                    *total += dh * (x - mean);
                                }
                            }
                            let rest: f32 = lanes[whole..]
                                .iter()
                                .zip(&xs[whole..])
                                .map(|(dh, x)| dh * (x - mean))
                                .sum();
                            let sum_dh_xhat = (totals.iter().sum::<f32>() + rest) * rstd;
                            dscale[c] = sum_dh_xhat;
                            dshift[c] = sum_dh;
                            sum_dxhat += sum_dh * a;
                            sum_dxhat_xhat += sum_dh_xhat * a;
                        }
                        let count = (per_group * shape.pixels) as f32;
                        let (mean_dxhat, mean_dxhat_xhat) =
                            (sum_dxhat / count, sum_dxhat_xhat / count);
                        let own = g * per_group..(g + 1) * per_group;
                        for (c, &a) in own.clone().zip(&scale[own]) {
                            let plane = c * shape.pixels..(c + 1) * shape.pixels;
                            for (dx, x) in dx[plane.clone()].iter_mut().zip(&x[plane]) {
                                let xhat = (x - mean) * rstd;
                                *dx = rstd * (*dx * a - mean_dxhat - xhat * mean_dxhat_xhat);
                            }
                        }
                    }
                },
            )
        });
    (dx, dscale, dshift)
}
