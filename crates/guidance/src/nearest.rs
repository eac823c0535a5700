//! Nearest-neighbour resizing with the reference's indices.

use burn::tensor::Tensor;

use crate::rows::int_tensor;

/// Source index of each of `target` indices over `source`: `floor(i * scale)` with `scale = source / target`, both in
/// single precision, which integer arithmetic does not reproduce (234 to 224 and 248 to 224 differ at a few indices).
pub fn nearest_indices(source: usize, target: usize) -> Vec<usize> {
    let scale = source as f32 / target as f32;
    (0..target)
        .map(|i| ((i as f32 * scale).floor() as usize).min(source.saturating_sub(1)))
        .collect()
}

/// Resizes `[batch, channel, height, width]` to `[height, width]` of `size` by nearest neighbour.
pub fn resize_nearest(image: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = image.dims();
    let device = image.device();
    let index = |from, to| int_tensor(&nearest_indices(from, to), &device);
    let mut image = image;
    if height != size[0] {
        image = image.select(2, index(height, size[0]));
    }
    if width != size[1] {
        image = image.select(3, index(width, size[1]));
    }
    image
}
