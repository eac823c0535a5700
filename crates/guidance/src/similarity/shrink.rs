//! Bilinear shrinking without antialiasing, as PyTorch's `interpolate` does it when it is given a factor.

use burn::tensor::{Device, Tensor, TensorData};

/// Images `[batch, channel, h, w]` whose shorter side exceeds `side`, scaled by `side / shorter` (the longer one is
/// rounded down); others as they are. Sample positions follow from the factor itself, not from the two sizes.
pub(super) fn shrink_to(image: Tensor<4>, side: usize) -> Tensor<4> {
    let [batch, channels, height, width] = image.dims();
    let shorter = height.min(width);
    if shorter <= side {
        return image;
    }
    let factor = side as f64 / shorter as f64;
    let device = image.device();
    let (rows, tall) = weights(height, factor, &device);
    let (columns, wide) = weights(width, factor, &device);
    let planes: Tensor<3> = image.reshape([batch * channels, height, width]);
    let across = planes
        .reshape([batch * channels * height, width])
        .matmul(columns.transpose());
    let down = across
        .reshape([batch * channels, height, wide])
        .swap_dims(1, 2)
        .reshape([batch * channels * wide, height])
        .matmul(rows.transpose());
    down.reshape([batch * channels, wide, tall])
        .swap_dims(1, 2)
        .reshape([batch, channels, tall, wide])
}

/// What each of the fewer samples takes of the `length` ones: `[fewer, length]`, and their number.
fn weights(length: usize, factor: f64, device: &Device) -> (Tensor<2>, usize) {
    let fewer = (length as f64 * factor).floor() as usize;
    let step = (1.0 / factor) as f32;
    let mut weights = vec![0f32; fewer * length];
    for (i, row) in weights.chunks_exact_mut(length).enumerate() {
        let position = (step * (i as f32 + 0.5) - 0.5).max(0.0);
        let first = (position as usize).min(length - 1);
        let share = position - first as f32;
        row[first] += 1.0 - share;
        row[(first + 1).min(length - 1)] += share;
    }
    let weights = Tensor::from_data(TensorData::new(weights, [fewer, length]), device);
    (weights, fewer)
}
