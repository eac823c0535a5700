//! Nearest-neighbour enlargement by two, forward and backward.

use std::mem::MaybeUninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::extension::KernelOps;
use crate::filled::filled;
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

/// Lines of `width` pixels to twice as many of twice as many.
pub(crate) fn forward(x: &[f32], width: usize) -> Vec<f32> {
    let write = |line: usize, y: &mut [MaybeUninit<f32>]| {
        let x = &x[line * width..][..width];
        let (upper, lower) = y.split_at_mut(2 * width);
        for (pair, x) in upper.chunks_exact_mut(2).zip(x) {
            pair.fill(MaybeUninit::new(*x));
        }
        lower.copy_from_slice(upper);
    };
    // SAFETY: every line writes its two.
    unsafe { filled(4 * x.len(), 4 * width, write) }
}

/// The sums of squares of four, in lines of `width` pixels.
pub(crate) fn backward(dy: &[f32], width: usize) -> Vec<f32> {
    let write = |line: usize, dx: &mut [MaybeUninit<f32>]| {
        let (upper, lower) = dy[line * 4 * width..][..4 * width].split_at(2 * width);
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        for (dx, (upper, lower)) in dx.iter_mut().zip(pairs) {
            dx.write((upper[0] + upper[1]) + (lower[0] + lower[1]));
        }
    };
    // SAFETY: a line of the smaller image has half as many pixels as one of the larger image, and all are written.
    unsafe { filled(dy.len() / 4, width, write) }
}
