//! Two images' channels after each other, as a U-Net's way up takes what its way down has left: forward and backward.

use burn::backend::Dispatch;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::extension::KernelOps;
use crate::is_flex;

/// The channels of `a` `[batch, channel, height, width]` and then those of `b`, an image of the same size.
pub fn join_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    if is_flex(&a.device()) {
        return Tensor::from_dispatch(<Dispatch as KernelOps>::join_channels(
            a.into_dispatch(),
            b.into_dispatch(),
        ));
    }
    Tensor::cat(vec![a, b], 1)
}

/// Images of `a` and `b` values in turn.
pub(crate) fn forward(a: &[f32], b: &[f32], batch: usize) -> Vec<f32> {
    let mut y = Vec::with_capacity(a.len() + b.len());
    let (of_a, of_b) = (a.len() / batch.max(1), b.len() / batch.max(1));
    if of_a + of_b == 0 {
        return y;
    }
    y.spare_capacity_mut()[..a.len() + b.len()]
        .par_chunks_exact_mut(of_a + of_b)
        .enumerate()
        .for_each(|(n, y)| {
            let (left, right) = y.split_at_mut(of_a);
            left.write_copy_of_slice(&a[n * of_a..][..of_a]);
            right.write_copy_of_slice(&b[n * of_b..][..of_b]);
        });
    // SAFETY: every image was written whole.
    unsafe { y.set_len(a.len() + b.len()) };
    y
}

/// One side's share of the gradient: of each image's `image` values those in `own`.
pub(crate) fn backward(dy: &[f32], image: usize, own: std::ops::Range<usize>) -> Vec<f32> {
    let batch = dy.len() / image.max(1);
    let mut dx = Vec::with_capacity(batch * own.len());
    if own.is_empty() {
        return dx;
    }
    dx.spare_capacity_mut()[..batch * own.len()]
        .par_chunks_exact_mut(own.len())
        .zip(dy.par_chunks_exact(image))
        .for_each(|(dx, dy)| {
            dx.write_copy_of_slice(&dy[own.clone()]);
        });
    // SAFETY: as above.
    unsafe { dx.set_len(batch * own.len()) };
    dx
}
