//! The arithmetic of Grad-CAM from the reference's raw maps, and its gradient on a small classifier.

mod common;

use burn::tensor::Tensor;
use common::{Oracle, host, networks::SmallClassifier, uniform};
use diffguard_guidance::{
    grad_cam::{enlarge_map, grad_cam, raw_map, scale_map, semantic_mask},
    nearest::resize_nearest,
};
use diffguard_models::Classifier;

#[test]
fn maps_and_masks() {
    for case in ["layer4_mixed", "layer4_negative_map"] {
        let oracle = Oracle::open(&format!("grad_cam/{case}"));
        let raw: Tensor<4> = oracle.tensor::<3>("out.raw_cam").unsqueeze_dim(1);
        let map = enlarge_map(raw, [32, 32]);
        oracle.check_within("out.cam_plain", &host(&map), 1e-4, 1e-7);
        let scaled = host(&scale_map(map.clone()));
        oracle.check_within("out.scaled_plain", &scaled, 0.0, 1e-4);
        for (cut, name) in [(0.2, "pos20"), (0.3, "pos30"), (-0.3, "neg30")] {
            let mask = semantic_mask(map.clone(), cut).unwrap();
            let want = oracle.values(&format!("out.mask_plain_{name}"));
            for (i, got) in host(&mask).iter().enumerate() {
                // The map of the reference and ours may fall on different sides of the cut within their tolerance.
                let on_the_cut = (scaled[i] - cut.abs()).abs() < 1e-4;
                assert!(*got == want[i] || on_the_cut, "{case}, {name}[{i}]");
            }
            let small = resize_nearest(mask, [8, 8]);
            oracle.check(&format!("out.mask_plain_{name}_latent8"), &host(&small));
        }
    }
}

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
