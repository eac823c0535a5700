//! The classifier's log probability of a label, over the views that it is shown, and its gradient.

use burn::tensor::{Gradients, Int, Tensor, TensorData, activation::log_softmax};
use diffguard_models::Classifier;

use crate::augment::Views;

/// Gradient of the summed `log p(label | views of z)` with respect to `z`, shaped as `z`
/// (`[batch, channel, height, width]` in [-1, 1] units).
///
/// `labels`: a class of each sample, or -1: its gradient is zero.
pub fn log_probability_gradient(
    classifier: &dyn Classifier,
    z: Tensor<4>,
    labels: &[i64],
    views: &Views<'_>,
    temperature: f64,
) -> Tensor<4> {
    let z = z.without_autodiff().autodiff().require_grad();
    let gradients = log_probability(classifier, z.clone(), labels, views, temperature).backward();
    gradient_of(&z, &gradients)
}

/// The gradient of a leaf; zero where the loss does not depend on it.
pub(super) fn gradient_of(leaf: &Tensor<4>, gradients: &Gradients) -> Tensor<4> {
    leaf.grad(gradients)
        .unwrap_or_else(|| leaf.clone().without_autodiff().zeros_like())
}

/// `log p(label)`, summed over the samples that have a label and over their views: `[1]`. Of a view that was mixed with
/// another image, `(1 - m) log p(label) + m log p(the other's label)` with the other's share `m` of its area.
pub(super) fn log_probability(
    classifier: &dyn Classifier,
    z: Tensor<4>,
    labels: &[i64],
    views: &Views<'_>,
    temperature: f64,
) -> Tensor<1> {
    let seen = views.show(z);
    let device = seen.device();
    let rows = views.count() * labels.len();
    let every = || labels.iter().cycle().take(rows);
    let log_p = log_softmax(classifier.logits(seen) / temperature, 1);
    let of = |classes: Vec<i64>| {
        let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, [rows, 1]), &device);
        log_p.clone().gather(1, classes)
    };
    let column =
        |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device);
    let mut each = of(every().map(|label| (*label).max(0)).collect());
    if let Some(mixed) = views.mixed() {
        let shares: Vec<f32> = repeat(&mixed, labels.len(), |(share, _)| share as f32);
        let others = of(repeat(&mixed, labels.len(), |(_, label)| label as i64));
        let shares = column(shares);
        each = each * (-shares.clone() + 1.0) + others * shares;
    }
    if labels.iter().all(|label| *label >= 0) {
        return each.sum();
    }
    let counts = every().map(|label| if *label < 0 { 0.0 } else { 1.0 });
    (each * column(counts.collect())).sum()
}

/// A value of each view, for all samples of the view.
fn repeat<T: Copy, U: Clone>(views: &[T], samples: usize, f: impl Fn(T) -> U) -> Vec<U> {
    views
        .iter()
        .flat_map(|view| std::iter::repeat_n(f(*view), samples))
        .collect()
}
