//! Nearest-neighbour enlargement by two, forward and backward.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::extension::KernelOps;
use crate::is_flex;

/// Every pixel of `x` `[batch, channel, height, width]` as a square of four: `[batch, channel, 2 * height, 2 * width]`.
pub fn upsample2(x: Tensor<4>) -> Tensor<4> {
    if is_flex(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as KernelOps>::upsample2(x.into_dispatch()));
    }
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w, 1])
        .expand([b, c, h, 2, w, 2])
        .reshape([b, c, 2 * h, 2 * w])
}

/// Lines of the smaller image that are worth a work item.
const LEAST_LINES: usize = 512;

/// Lines of `width` pixels to twice as many of twice as many.
pub(crate) fn forward(x: &[f32], width: usize) -> Vec<f32> {
    let mut y = vec![0f32; 4 * x.len()];
    if y.is_empty() {
        return y;
    }
    y.par_chunks_exact_mut(4 * width)
        .zip(x.par_chunks_exact(width))
        .with_min_len(LEAST_LINES)
        .for_each(|(y, x)| {
            let (upper, lower) = y.split_at_mut(2 * width);
            for (pair, x) in upper.chunks_exact_mut(2).zip(x) {
                pair.fill(*x);
            }
            lower.copy_from_slice(upper);
        });
    y
}

/// The sums of squares of four, in lines of `width` pixels.
pub(crate) fn backward(dy: &[f32], width: usize) -> Vec<f32> {
    let mut dx = vec![0f32; dy.len() / 4];
    if dx.is_empty() {
        return dx;
    }
    dx.par_chunks_exact_mut(width)
        .zip(dy.par_chunks_exact(4 * width))
        .with_min_len(LEAST_LINES)
        .for_each(|(dx, dy)| {
            let (upper, lower) = dy.split_at(2 * width);
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (dx, (upper, lower)) in dx.iter_mut().zip(pairs) {
                *dx = (upper[0] + upper[1]) + (lower[0] + lower[1]);
            }
        });
    dx
}
