//! Gradient magnitude similarity deviation (Xue et al. 2014), with piq's conventions.

use burn::tensor::{Device, Tensor, module::conv2d, ops::ConvOptions};

use super::{Similarity, View, ssim::halve};
use crate::Error;

/// Luma of an RGB image (the Y of YIQ).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
/// Keeps flat areas from dividing by zero (ibid., for images in [0, 1]).
const CONSTANT: f64 = 170.0 / (255.0 * 255.0);

/// `-` the standard deviation of the gradient magnitudes' similarity, on [0, 1].
pub const GMSD: Similarity = Similarity {
    name: "gmsd",
    summary: "gradient magnitude similarity deviation",
    range: "not above 0",
    needs_classifier: false,
    score,
};

fn score(x: &View<'_>, y: &View<'_>) -> Result<Tensor<1>, Error> {
    let (x, y) = (gradient_magnitude(x)?, gradient_magnitude(y)?);
    let similarity =
        ((x.clone() * y.clone()) * 2.0 + CONSTANT) / (x.square() + y.square() + CONSTANT);
    let deviation = similarity.clone() - similarity.mean_dims(&[1, 2, 3]);
    let [batch, ..] = deviation.dims();
    Ok(-deviation
        .square()
        .mean_dims(&[1, 2, 3])
        .sqrt()
        .reshape([batch]))
}

/// Prewitt gradient of the halved luma, `[batch, 1, h, w]`.
fn gradient_magnitude(view: &View<'_>) -> Result<Tensor<4>, Error> {
    let image = view.unit_image();
    let device = image.device();
    let [_, channel, height, width] = image.dims();
    let luma = match channel {
        1 => image,
        3 => (image * Tensor::<1>::from_floats(LUMA, &device).reshape([1, 3, 1, 1])).sum_dim(1),
        _ => {
            return Err(Error::Similarity {
                name: "gmsd",
                reason: format!("images of {channel} channels; it needs 1 or 3"),
            });
        }
    };
    if height.min(width) < 2 {
        return Err(Error::Similarity {
            name: "gmsd",
            reason: format!("images of {height}x{width} pixels; it needs at least 2 on each side"),
        });
    }
    // Zeros at the right AND at the bottom where either side is odd, as the reference does.
    let odd = (height % 2).max(width % 2);
    let luma = luma.pad((0, odd, 0, odd), 0.0);
    let gradient = conv2d(
        halve(luma, 2),
        prewitt(&device),
        None,
        ConvOptions::new([1, 1], [1, 1], [1, 1], 1),
    );
    Ok(gradient.square().sum_dim(1).sqrt())
}

/// The two directions, `[2, 1, 3, 3]`.
fn prewitt(device: &Device) -> Tensor<4> {
    let w = 1.0 / 3.0;
    let across = [[w, 0.0, -w], [w, 0.0, -w], [w, 0.0, -w]];
    let across = Tensor::<2>::from_floats(across, device);
    Tensor::stack::<3>(vec![across.clone(), across.transpose()], 0).unsqueeze_dim(1)
}
