//! The gradient of Grad-CAM on a small classifier.

mod common;

use burn::tensor::Tensor;
use common::{host, networks::SmallClassifier, uniform};
use diffguard_guidance::grad_cam::{enlarge_map, grad_cam, raw_map};
use diffguard_models::Classifier;

#[test]
fn gradient_through_pooling_and_head() {
    let classifier = SmallClassifier::random(12);
    let image = uniform([3, 1, 12, 12], 5);
    let labels = [4, 0, 9];
    // With average pooling and a linear head the gradient is the label's weight over the number of places.
    let activations = classifier.last_stage(image.clone());
    let [_, features, h, w] = activations.dims();
    let rows = labels
        .iter()
        .map(|l| classifier.head_parameters().0.narrow(0, *l, 1))
        .collect();
    let gradient = Tensor::cat(rows, 0).reshape([3, features, 1, 1]) / (h * w) as f64;
    let want = enlarge_map(
        raw_map(activations.clone(), gradient.expand([3, features, h, w])),
        [12, 12],
    );
    let got = grad_cam(&classifier, image.clone(), &labels).unwrap();
    common::close("cam", &host(&got), &host(&want), 1e-4, 1e-6);
    assert!(grad_cam(&classifier, image.clone(), &[1, 2]).is_err());
    assert!(grad_cam(&classifier, image, &[1, 2, 10]).is_err());
}
