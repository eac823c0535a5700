//! What the similarities of gradients and colours share: maps of a whole batch on the device.

use burn::tensor::{Device, Tensor, module::conv2d, ops::ConvOptions};

use super::View;
use crate::Error;

/// Luma of an RGB image (the Y of YIQ).
pub(super) const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// `(2 x y + c) / (x^2 + y^2 + c)`: 1 where the maps agree.
pub(super) fn similarity_map<const D: usize>(x: Tensor<D>, y: Tensor<D>, c: f64) -> Tensor<D> {
    ((x.clone() * y.clone()) * 2.0 + c) / (x.square() + y.square() + c)
}

/// Length of the Prewitt gradient of a `[batch, 1, h, w]` map, zeros around it.
pub(super) fn prewitt_magnitude(plane: Tensor<4>) -> Tensor<4> {
    let kernels = prewitt(&plane.device());
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let gradient = conv2d(plane, kernels, None, options);
    gradient.square().sum_dim(1).sqrt()
}

/// The two directions, `[2, 1, 3, 3]`.
fn prewitt(device: &Device) -> Tensor<4> {
    let w = 1.0 / 3.0;
    let across = [[w, 0.0, -w], [w, 0.0, -w], [w, 0.0, -w]];
    let across = Tensor::<2>::from_floats(across, device);
    Tensor::stack::<3>(vec![across.clone(), across.transpose()], 0).unsqueeze_dim(1)
}

/// `[batch, 1, h, w]` in [0, 1]: the luma of colour images, grey ones as they are.
///
/// # Errors
/// For images of neither 1 nor 3 channels.
pub(super) fn luma(view: &View<'_>, wanted_by: &'static str) -> Result<Tensor<4>, Error> {
    let image = view.unit_image();
    match image.dims()[1] {
        1 => Ok(image),
        _ => Ok(mix(view.rgb(wanted_by)?, LUMA)),
    }
}

/// A weighted sum of the three channels, `[batch, 1, h, w]`.
pub(super) fn mix(rgb: Tensor<4>, weights: [f32; 3]) -> Tensor<4> {
    let weights = Tensor::<1>::from_floats(weights, &rgb.device());
    (rgb * weights.reshape([1, 3, 1, 1])).sum_dim(1)
}

/// The factor by which some similarities shrink images so that the shorter side is near 256 pixels; at least 1.
pub(super) fn shrink_factor(height: usize, width: usize) -> usize {
    let factor = (height.min(width) as f64 / 256.0).round_ties_even();
    (factor as usize).max(1)
}
