//! The gradient of a classifier's confidence by its input, and ODIN's step along it.
//!
//! Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks",
//! ICLR 2018 (ODIN), with the conventions of OpenOOD.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use crate::Classifier;

/// Gradient by `x` of the cross-entropy of `logits(x) / temperature` against the class that is predicted for each `x`,
/// averaged over the batch (so a sample's own gradient comes divided by the batch's size): shaped as `x`.
///
/// - `logits`: a network in evaluation mode, from `[batch, channel, height, width]` to `[batch, class]`;
/// - `x`: its input;
/// - `temperature`: positive.
///
/// A network whose logits do not depend on its input has the gradient zero.
pub fn predicted_class_gradient(
    logits: impl Fn(Tensor<4>) -> Tensor<2>,
    x: Tensor<4>,
    temperature: f64,
) -> Tensor<4> {
    let x = x.without_autodiff().autodiff().require_grad();
    let [batch, ..] = x.dims();
    let z = logits(x.clone());
    let predicted: Tensor<2, Int> = z.clone().detach().argmax(1);
    let loss = log_softmax(z / temperature, 1)
        .gather(1, predicted)
        .sum()
        .neg()
        / batch as f64;
    let gradients = loss.backward();
    x.grad(&gradients)
        .unwrap_or_else(|| x.without_autodiff().zeros_like())
}

/// ODIN's step: `x - step sign(gradient)` with a step for each channel, down the cross-entropy. A gradient of exactly 0
/// counts as positive, as in OpenOOD.
///
/// - `x`, `gradient`: `[batch, channel, height, width]`;
/// - `step`: one of each channel, or a single one for all, in the units of `x`.
pub fn odin_step(x: Tensor<4>, gradient: Tensor<4>, step: &[f64]) -> Tensor<4> {
    let step: Vec<f32> = step.iter().map(|&step| step as f32).collect();
    let channels = step.len();
    let step = Tensor::<1>::from_floats(step.as_slice(), &x.device()).reshape([1, channels, 1, 1]);
    let down = gradient.lower_scalar(0.0).float() * 2.0 - 1.0;
    x + down * step
}

/// Logits `[batch, class]` of the images after ODIN's step.
///
/// - `image`: `[batch, channel, height, width]` in [-1, 1];
/// - `noise`: the step in units of images in [0, 1], hence `2 noise` here. OpenOOD adds `noise / std` to an input that
///   was divided by the standard deviation `std`: the same. As there, the perturbed image is not clamped.
pub fn perturbed_logits(
    classifier: &dyn Classifier,
    image: Tensor<4>,
    temperature: f64,
    noise: f64,
) -> Tensor<2> {
    let gradient =
        predicted_class_gradient(|image| classifier.logits(image), image.clone(), temperature);
    classifier.logits(odin_step(image, gradient, &[2.0 * noise]))
}
