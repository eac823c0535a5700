//! Two images' channels after each other, as a U-Net's way up takes what its way down has left: forward and backward.

use std::mem::MaybeUninit;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::extension::KernelOps;
use crate::filled::filled;
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

/// The values of `batch` images of either side, in turn.
pub(crate) fn forward(a: &[f32], b: &[f32], batch: usize) -> Vec<f32> {
    let batch = batch.max(1);
    let (of_a, of_b) = (a.len() / batch, b.len() / batch);
    let write = |n: usize, y: &mut [MaybeUninit<f32>]| {
        let (left, right) = y.split_at_mut(of_a);
        left.write_copy_of_slice(&a[n * of_a..][..of_a]);
        right.write_copy_of_slice(&b[n * of_b..][..of_b]);
    };
    // SAFETY: both sides of an image are written, and they are all of it.
    unsafe { filled(a.len() + b.len(), of_a + of_b, write) }
}

/// The gradient of the first side or the second one (`number`), whose images have so many values.
pub(crate) fn backward(dy: &[f32], sizes: [usize; 2], number: usize) -> Vec<f32> {
    let image = sizes[0] + sizes[1];
    let (before, own) = (sizes[..number].iter().sum::<usize>(), sizes[number]);
    let batch = dy.len() / image.max(1);
    let write = |n: usize, dx: &mut [MaybeUninit<f32>]| {
        dx.write_copy_of_slice(&dy[n * image + before..][..own]);
    };
    // SAFETY: the whole of each image's side is written.
    unsafe { filled(batch * own, own, write) }
}
